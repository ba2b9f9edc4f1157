"""Prints what bench/peers/run measured: medians over the rounds, and ratios within each round."""
import json
import os
import pathlib
import statistics
import sys

out, rounds, backend = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
names = {
    "int8": "Barograph, int8", "fp32": "Barograph, fp32", "torch": "Python transformers (PyTorch, fp32, batches of 32)",
    "ort": "Python onnxruntime + tokenizers (int8, batches of 32)", "hugot8": f"hugot ({backend}, int8, batches of 32)",
    "hugot32": f"hugot ({backend}, fp32, batches of 32)",
}


def load(model, kind):
    return [json.loads((out / f"{model}.{kind}.{r}").read_text()) for r in range(1, rounds + 1)]


def share(a, b):
    """Of how many texts both say the same."""
    return sum(x == y for x, y in zip(a, b, strict=True)) / len(a)


def summary(*cells):
    """Adds a row to the one table of bench/run (bench/summary)."""
    if path := os.environ.get("BENCH_SUMMARY"):
        with open(path, "a", encoding="utf-8") as file:
            print("| " + " | ".join(cells) + " |", file=file)


for model in "all-minilm-l6-v2", "bge-small-en-v1.5":
    runs = {kind: load(model, kind) for kind in names}
    tokens = {kind: runs[kind][0]["tokens"] for kind in ("int8", "fp32", "torch", "ort")}
    if len(set(tokens.values())) != 1:
        sys.exit(f"bench/peers: not all have read the same texts: {tokens} tokens")
    print(f"\n{model}, {runs['int8'][0]['texts']} texts of {tokens['int8']:,.0f} tokens, medians of {rounds} rounds\n")
    print("| | texts/s | Barograph int8 over it | same labels as PyTorch |\n|---|---|---|---|")
    for kind, name in names.items():
        rate = statistics.median(r["texts_per_second"] for r in runs[kind])
        ratio = statistics.median(a["texts_per_second"] / b["texts_per_second"] for a, b in zip(runs["int8"], runs[kind]))
        if kind == "int8":
            ours = rate
        elif kind != "fp32":
            summary(f"classify, {model}, int8", f"{ours:.0f} texts/s", f"{name}: {rate:.0f}", f"{ratio:.1f} times as fast")
        print(f"| {name} | {rate:.0f} | {ratio:.1f} | {share(runs[kind][0]['labels'], runs['torch'][0]['labels']):.1%} |")
    for kind in "int8", "fp32":
        part = statistics.median(r["gflops"] / r["peak"] for r in runs[kind])
        padding = runs[kind][0]["padding"]
        print(f"\n{kind}: {statistics.median(r['gflops'] for r in runs[kind]):.0f} GFLOP/s of useful tokens, {part:.0%} of the "
              f"{statistics.median(r['peak'] for r in runs[kind]):.0f} that matrix products alone reach; {padding:.1%} padding")
        summary(f"classify, {model}, {kind}", f"{part:.0%} of the machine's peak", "", "")

print("\nThe shipped bundles on rows that they were not trained on: the same label as the plain fp32 graph in PyTorch\n")
print("| | texts | fused, fp32 | fused, int8 |\n|---|---|---|---|")
for head in "en.sentiment", "en.topic", "zh.sentiment", "zh.topic":
    plain = json.loads((out / f"{head}.plain").read_text())["labels"][head.split(".")[1]]
    fused = {kind: json.loads((out / f"{head}.{kind}").read_text())["topics" if head.endswith("topic") else "labels"] for kind in ("fp32", "int8")}
    print(f"| {head} | {len(plain)} | {share(fused['fp32'], plain):.1%} | {share(fused['int8'], plain):.1%} |")
    summary(f"{head} of models/{head[:2]}, the plain fp32 graph's label", f"int8 {share(fused['int8'], plain):.1%}, fp32 {share(fused['fp32'], plain):.1%}",
            f"{len(plain)} validation texts", "99 % is asked for")

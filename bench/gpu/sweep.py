"""python sweep.py OUT SECONDS CLASSIFY LIBRARY LIBRARY-PATH: see run."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import torch
from transformers import BertConfig, BertForSequenceClassification

out, each = pathlib.Path(sys.argv[1]), float(sys.argv[2])
classify, library, path = sys.argv[3:6]
device = "cuda" if torch.cuda.is_available() else "cpu"  # the CPU only to try this program
small = {} if device == "cuda" else {"num_hidden_layers": 2}
config = BertConfig(id2label={0: "negative", 1: "neutral", 2: "positive"}, label2id={"negative": 0, "neutral": 1, "positive": 2}, **small)
torch.manual_seed(7)
model = BertForSequenceClassification(config).eval()
folder = out / "bert-base"
model.save_pretrained(folder)
shutil.copy(".deps/bases/bge-small-en-v1.5/tokenizer.json", folder)  # the vocabulary of BERT uncased


def flops(tokens):
    h, f, n = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    return n * tokens * (8 * h * h + 4 * h * f + 4 * tokens * h)


def peak():
    """TFLOP/s of the best of some square products in fp16."""
    best = 0.0
    for size in (4096, 8192) if device == "cuda" else (512,):
        a = torch.randn(size, size, device=device).half() if device == "cuda" else torch.randn(size, size)
        for _ in range(3):
            a @ a
        synchronize()
        start, n = time.perf_counter(), 0
        while time.perf_counter() - start < 1:
            for _ in range(10):
                a @ a
            synchronize()
            n += 10
        best = max(best, 2 * size**3 * n / (time.perf_counter() - start) / 1e12)
    return best


def synchronize():
    if device == "cuda":
        torch.cuda.synchronize()


def pytorch(tokens, batch):
    """Texts a second of the model alone, without tokenising."""
    net = BertForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa").eval().to(device)
    net = net.half() if device == "cuda" else net
    net = torch.compile(net)
    ids = torch.randint(1000, 20000, (batch, tokens), device=device)
    with torch.inference_mode():
        for _ in range(3):
            net(ids).logits.cpu()
        synchronize()
        start, n = time.perf_counter(), 0
        while time.perf_counter() - start < each:
            net(ids).logits.cpu()
            n += batch
    return n / (time.perf_counter() - start)


def barograph(tokens, batch, texts):
    """Texts a second of the classify stage, tokenising included."""
    file = out / f"texts{tokens}.txt"
    words = random.Random(tokens)
    common = ["shares", "profit", "market", "fall", "bank", "trade", "price", "deal", "growth", "loss"]  # a token each
    file.write_text("\n".join(" ".join(words.choice(common) for _ in range(tokens - 2)) for _ in range(texts)) + "\n")
    run = subprocess.run(
        [classify, "-model", folder, "-texts", file, "-device", device, "-precision", "fp16" if device == "cuda" else "fp32",
         "-budget", str(tokens * batch), "-json"],
        env=os.environ | {"BAROGRAPH_ONNXRUNTIME": library, "LD_LIBRARY_PATH": path}, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    return json.loads(run.stdout)["texts_per_second"]


top = peak()
print(f"fp16 peak of this card, by torch's products: {top:.0f} TFLOP/s\n")
print("| tokens | batch | Barograph, texts/s | share of peak | PyTorch compiled, texts/s | share of peak | ratio |\n|---|---|---|---|---|---|---|")
for tokens in 32, 128, 512:
    for batch in (16, 64, 256, 1024) if device == "cuda" else (4,):
        theirs = pytorch(tokens, batch)
        ours = barograph(tokens, batch, max(4 * batch, int(theirs * each)))
        share = lambda rate: rate * flops(tokens) / 1e12 / top
        print(f"| {tokens} | {batch} | {ours:.0f} | {share(ours):.0%} | {theirs:.0f} | {share(theirs):.0%} | {ours / theirs:.2f} |", flush=True)

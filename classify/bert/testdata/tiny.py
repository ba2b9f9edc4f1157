"""Makes testdata/tiny: small random BERT checkpoints and adapters in Hugging Face's layout, and tiny.json,
what they say of a padded batch. The forward pass here is numpy in float64, written from the papers and
from transformers' module names, and shares nothing with the Go code. Needs numpy; run it in testdata."""
import json
import math
import shutil
import struct
from pathlib import Path

import numpy as np

D, L, H, I, V, P = 16, 2, 4, 24, 40, 12
LINEARS = {"attention.self.query": (D, D), "attention.self.key": (D, D), "attention.self.value": (D, D),
           "attention.output.dense": (D, D), "intermediate.dense": (I, D), "output.dense": (D, I)}
OUT = Path("tiny")
rng = np.random.default_rng(20240511)
erf = np.vectorize(math.erf)


def encoder(types=2, pooler=False, labels=0):
    w = {"embeddings.word_embeddings.weight": rng.normal(0, .6, (V, D)),
         "embeddings.position_embeddings.weight": rng.normal(0, .3, (P, D)),
         "embeddings.token_type_embeddings.weight": rng.normal(0, .3, (types, D))}
    norms = ["embeddings.LayerNorm"]
    for i in range(L):
        p = f"encoder.layer.{i}."
        for n, s in LINEARS.items():
            w[p + n + ".weight"], w[p + n + ".bias"] = rng.normal(0, .35, s), rng.normal(0, .2, s[0])
        norms += [p + "attention.output.LayerNorm", p + "output.LayerNorm"]
    for n in norms:
        w[n + ".weight"], w[n + ".bias"] = rng.normal(1, .2, D), rng.normal(0, .2, D)
    if pooler:
        w["pooler.dense.weight"], w["pooler.dense.bias"] = rng.normal(0, .3, (D, D)), rng.normal(0, .2, D)
    if labels:
        w["classifier.weight"], w["classifier.bias"] = rng.normal(0, .5, (labels, D)), rng.normal(0, .2, labels)
    return w


def rounded(w, dtype):
    """The values as they are after storage in dtype, and the bytes."""
    out, raw = {}, {}
    for k, a in w.items():
        a = np.asarray(a, np.float32)
        if dtype == "BF16":                                   # to nearest even on the upper 16 bits
            u = a.view(np.uint32)
            u = (u + 0x7fff + ((u >> 16) & 1)) >> 16
            raw[k], out[k] = u.astype("<u2").tobytes(), (u << 16).astype(np.uint32).view(np.float32).astype(np.float64)
        else:
            b = a.astype({"F32": "<f4", "F16": "<f2"}[dtype])
            raw[k], out[k] = b.tobytes(), b.astype(np.float64)
    return out, raw


def save(path, w, dtype, rename=lambda k: k):
    out, raw = rounded(w, dtype)
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for k in w:
        header[rename(k)] = {"dtype": dtype, "shape": list(np.shape(w[k])), "data_offsets": [at, at + len(raw[k])]}
        at += len(raw[k])
    h = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(h)) + h + b"".join(raw[k] for k in w))
    return out


def norm(x, w, name, eps=1e-12):
    c = x - x.mean(-1, keepdims=True)
    return c / np.sqrt((c * c).mean(-1, keepdims=True) + eps) * w[name + ".weight"] + w[name + ".bias"]


def linear(x, w, name):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def gelu(x, act):
    if act == "gelu":
        return x * .5 * (1 + erf(x / math.sqrt(2)))
    return .5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + .044715 * x ** 3)))


def forward(w, ids, mask, types, act, pooling):
    """One text at a time without its padding: what a batch's logits must not depend on."""
    pooled = []
    for i, m, t in zip(ids, mask, types):
        n = sum(m)
        i, t = np.array(i[:n]), np.array(t[:n])
        x = w["embeddings.word_embeddings.weight"][i] + w["embeddings.position_embeddings.weight"][:n] + w["embeddings.token_type_embeddings.weight"][t]
        x = norm(x, w, "embeddings.LayerNorm")
        for l in range(L):
            p = f"encoder.layer.{l}."
            q, k, v = (linear(x, w, p + "attention.self." + s).reshape(n, H, D // H).transpose(1, 0, 2) for s in ("query", "key", "value"))
            a = q @ k.transpose(0, 2, 1) / math.sqrt(D // H)
            a = np.exp(a - a.max(-1, keepdims=True))
            a /= a.sum(-1, keepdims=True)
            o = (a @ v).transpose(1, 0, 2).reshape(n, D)
            x = norm(linear(o, w, p + "attention.output.dense") + x, w, p + "attention.output.LayerNorm")
            f = gelu(linear(x, w, p + "intermediate.dense"), act)
            x = norm(linear(f, w, p + "output.dense") + x, w, p + "output.LayerNorm")
        pooled.append(x.mean(0) if pooling == "mean" else x[0])
    pooled = np.array(pooled)
    return np.tanh(linear(pooled, w, "pooler.dense")) if pooling == "pooler" else pooled


BATCH = {"lengths": [9, 5, 1, 7]}
COLS = max(BATCH["lengths"]) + 2
BATCH["mask"] = [[int(c < n) for c in range(COLS)] for n in BATCH["lengths"]]
BATCH["ids"] = [[int(rng.integers(1, V)) if m else 0 for m in row] for row in BATCH["mask"]]
BATCH["types"] = [[int(c >= n // 2 and c < n) for c in range(COLS)] for n in BATCH["lengths"]]
RESULT = {"rows": len(BATCH["ids"]), "cols": COLS, **{k: sum(BATCH[k], []) for k in ("ids", "mask", "types")}, "checkpoints": {}}


def config(name, **more):
    c = {"model_type": "bert", "hidden_size": D, "num_hidden_layers": L, "num_attention_heads": H, "intermediate_size": I,
         "vocab_size": V, "max_position_embeddings": P, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, **more}
    (OUT / name).mkdir(parents=True, exist_ok=True)
    (OUT / name / "config.json").write_text(json.dumps(c, indent=1))
    return c


def expect(name, w, heads, act, pooling, one_type=False):
    types = [[0] * COLS] * len(BATCH["ids"]) if one_type else BATCH["types"]
    x = forward(w, BATCH["ids"], BATCH["mask"], types, act, pooling)
    RESULT["checkpoints"][name] = {"one_type": one_type, "logits": {t: (x @ w[h + ".weight"].T + w[h + ".bias"]).ravel().tolist() for t, h in heads.items()}}


def full(name, dtype, act, pooling, rename=lambda k: k, types=2, second=False, **cfg):
    w = save(OUT / name / "model.safetensors", encoder(types, pooling == "pooler", 3), dtype, rename)
    heads = {"sentiment": "classifier"}
    if second:
        extra = {"topic.weight": rng.normal(0, .5, (5, D)), "topic.bias": rng.normal(0, .2, 5)}
        w |= save(OUT / name / "heads.safetensors", extra, dtype)
        heads["topic"] = "topic"
    config(name, hidden_act=act, type_vocab_size=types, **cfg)
    expect(name, w, heads, act, pooling, types == 1)


def section(pooling, topics=0, **more):
    heads = [{"task": "sentiment", "labels": ["negative", "neutral", "positive"], "temperature": 1.25}]
    if topics:
        heads.append({"task": "topic", "labels": [f"t{i}" for i in range(topics)]})
    return {"name": "tiny", "version": "1", "languages": ["en"], "pooling": pooling, "heads": heads, **more}


def old_names(k):  # as BertForSequenceClassification of a converted TensorFlow checkpoint
    k = k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    return k if k.startswith("classifier") else "bert." + k


def adapter(name, base, targets, scale, ranks, saved, act="gelu", pooling="cls", prefix="bert.", **cfg):
    """ranks: module -> rank, for every module that the adapter has a pair for; scale: module -> factor."""
    pairs = {}
    for l in range(L):
        for n, (o, i) in LINEARS.items():
            m = f"encoder.layer.{l}.{n}"
            if r := ranks(m):
                pairs[m] = (rng.normal(0, .3, (r, i)), rng.normal(0, .3, (o, r)))
    t = {}
    for m, (a, b) in pairs.items():
        t[f"base_model.model.{prefix}{m}.lora_A.weight"], t[f"base_model.model.{prefix}{m}.lora_B.weight"] = a, b
    for k, a in saved.items():
        t["base_model.model." + k] = a
    out = save(OUT / name / "adapter_model.safetensors", t, "F16")
    w = dict(base)
    for m in pairs:
        a, b = (out[f"base_model.model.{prefix}{m}.lora_{x}.weight"] for x in "AB")
        w[m + ".weight"] = w[m + ".weight"] + scale(m) * (b @ a)
    for k in saved:
        w[k.removeprefix("bert.")] = out["base_model.model." + k]
    (OUT / name / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": "somebody/base", "target_modules": targets,
         "bias": "none", "lora_dropout": 0.1, "inference_mode": True, "init_lora_weights": True, "layers_to_transform": None, **cfg}, indent=1))
    expect(name, w, {"sentiment": "classifier"}, act, pooling)


shutil.rmtree(OUT, ignore_errors=True)
# A plain classifier of the hub, FinBERT's way: labels in another case and order, old names, pooler, erf.
full("hub", "F32", "gelu", "pooler", old_names, id2label={"0": "Positive", "1": "negative", "2": "Neutral"})
full("half-mean", "F16", "gelu_new", "mean", types=1, second=True, barograph=section("mean", 5))
full("brain-cls", "BF16", "gelu_pytorch_tanh", "cls", second=True, barograph=section("cls", 5))

base = save(OUT / "bases" / "base" / "model.safetensors", encoder(), "F32")
config("bases/base", architectures=["BertModel"])
classifier = lambda: {"classifier.weight": rng.normal(0, .5, (3, D)), "classifier.bias": rng.normal(0, .2, 3)}

config("lora-list", barograph=section("cls"))
adapter("lora-list", base, ["query", "value"], lambda m: 16 / 4, lambda m: 4 if m.endswith(("query", "value")) else 0,
        classifier(), r=4, lora_alpha=16, modules_to_save=["classifier", "score"])

# A regular expression, rank-stabilised scale, patterns, and a pooler that the base has not.
config("lora-regex", barograph=section("pooler"))
rank = lambda m: 2 if "layer.1.output.dense" in m else 3 if m.endswith("key") else 4
alpha = lambda m: 4 if m.endswith("intermediate.dense") else 8
adapter("lora-regex", base, r".*encoder\.layer\.\d+\..*(query|key|dense)", lambda m: alpha(m) / math.sqrt(rank(m)),
        lambda m: 0 if m.endswith("value") else rank(m),
        classifier() | {"bert.pooler.dense.weight": rng.normal(0, .3, (D, D)), "bert.pooler.dense.bias": rng.normal(0, .2, D)},
        pooling="pooler", r=4, lora_alpha=8, use_rslora=True, modules_to_save=["classifier", "pooler"],
        rank_pattern={r"layer\.1\.output\.dense": 2, "key": 3}, alpha_pattern={"intermediate.dense": 4})
Path("tiny.json").write_text(json.dumps(RESULT))

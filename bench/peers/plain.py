"""What the plain fp32 graph says of texts: a shipped bundle in PyTorch, from its own files, one
operator at a time, no attention of the fused kind (attn_implementation="eager"):

    python plain.py BUNDLE BASE TEXTS

Prints one JSON object with the label of each text for each head of the bundle.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

bundle, base = map(pathlib.Path, sys.argv[1:3])
texts = pathlib.Path(sys.argv[3]).read_text(encoding="utf-8").removesuffix("\n").split("\n")
settings = json.loads((bundle / "config.json").read_text())
adapter = json.loads((bundle / "adapter_config.json").read_text())
trained = {k.removeprefix("base_model.model."): v for k, v in load_file(bundle / "adapter_model.safetensors").items()}
weights = {k.removeprefix("bert."): v for k, v in load_file(base / "model.safetensors").items()}
weights.pop("embeddings.position_ids", None)

# LoRA (Hu et al. 2021, section 4.1): W + alpha/r B A.
for name, b in trained.items():
    if name.endswith(".lora_B.weight"):
        layer = name.removesuffix(".lora_B.weight")
        a = trained[layer + ".lora_A.weight"]
        weights[layer.removeprefix("bert.") + ".weight"] += adapter["lora_alpha"] / adapter["r"] * (b @ a)
for part in "weight", "bias":
    weights[f"pooler.dense.{part}"] = trained[f"bert.pooler.dense.{part}"]
model = BertModel(BertConfig(**{k: v for k, v in settings.items() if k != "barograph"}, attn_implementation="eager")).eval()
model.load_state_dict(weights)
heads = load_file(bundle / "heads.safetensors")
heads |= {f"sentiment.{part}": trained[f"classifier.{part}"] for part in ("weight", "bias")}

tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
tokenizer.enable_truncation(512)
tokenizer.enable_padding()
said = {head["task"]: [""] * len(texts) for head in settings["barograph"]["heads"]}
order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
for start in range(0, len(order), 32):
    some = order[start : start + 32]
    encoded = tokenizer.encode_batch([texts[i] for i in some])
    with torch.inference_mode():
        pooled = model(input_ids=torch.tensor([e.ids for e in encoded]), attention_mask=torch.tensor([e.attention_mask for e in encoded])).pooler_output
        for head in settings["barograph"]["heads"]:
            task = head["task"]
            for i, best in zip(some, torch.nn.functional.linear(pooled, heads[task + ".weight"], heads[task + ".bias"]).argmax(-1).tolist()):
                said[task][i] = head["labels"][best]
print(json.dumps({"texts": len(texts), "labels": said}))

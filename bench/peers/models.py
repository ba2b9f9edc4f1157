"""Makes the checkpoints that every peer runs, from the base models: the base's own weights, a
head of three labels (random, seeded: speed does not depend on it), in Hugging Face's layout,
and the ONNX exports of PyTorch that the ONNX Runtime peers take.

    python models.py BASES OUT
"""
import json
import pathlib
import shutil
import sys

import onnxruntime.quantization
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

bases, out = map(pathlib.Path, sys.argv[1:])
for name in "all-minilm-l6-v2", "bge-small-en-v1.5":
    folder = out / name
    if (folder / "made").exists():  # written last
        continue
    (folder / "int8").mkdir(parents=True, exist_ok=True)
    (folder / "fp32").mkdir(exist_ok=True)
    config = json.loads((bases / name / "config.json").read_text())
    config["architectures"] = ["BertForSequenceClassification"]
    config["id2label"] = {"0": "negative", "1": "neutral", "2": "positive"}
    config["label2id"] = {label: int(i) for i, label in config["id2label"].items()}
    config.pop("barograph", None)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    shutil.copy(bases / name / "tokenizer.json", folder)
    weights = {k if k.startswith("bert.") else "bert." + k: v for k, v in load_file(bases / name / "model.safetensors").items()}
    hidden, random = config["hidden_size"], torch.Generator().manual_seed(7)
    draw = lambda *shape: torch.empty(shape).normal_(0, 0.05, generator=random)
    weights.setdefault("bert.pooler.dense.weight", draw(hidden, hidden))
    weights.setdefault("bert.pooler.dense.bias", torch.zeros(hidden))
    weights["classifier.weight"], weights["classifier.bias"] = draw(3, hidden), torch.zeros(3)
    weights.pop("bert.embeddings.position_ids", None)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.ones(2, 16, dtype=torch.int64)
    axes = {0: "batch", 1: "sequence"}
    inputs = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(model, (ids, ids, ids * 0), folder / "fp32" / "model.onnx", input_names=inputs, output_names=["logits"],
                      dynamic_axes={n: axes for n in inputs} | {"logits": {0: "batch"}}, opset_version=17, dynamo=False)
    onnxruntime.quantization.quantize_dynamic(folder / "fp32" / "model.onnx", folder / "int8" / "model.onnx",
                                              weight_type=onnxruntime.quantization.QuantType.QInt8, per_channel=True)
    for precision in "fp32", "int8":
        for file in "config.json", "tokenizer.json":
            shutil.copy(folder / file, folder / precision)
        (folder / precision / "tokenizer_config.json").write_text("{}")
        (folder / precision / "special_tokens_map.json").write_text(json.dumps(
            {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}))
    print("made", folder, file=sys.stderr)
    (folder / "made").touch()

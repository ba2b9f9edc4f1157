"""What transformers and peft make of bundles: peer.py < JSON [{"bundle", "base", "texts": [[text, entity], …]}, …]
> JSON [{"labels": of the first head, "logits": [head][text][label]}, …]. Texts are without links."""
import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer, BertForSequenceClassification


def read(bundle, base, texts):
    config = AutoConfig.from_pretrained(bundle)
    if (Path(bundle) / "adapter_config.json").exists():
        model = PeftModel.from_pretrained(BertForSequenceClassification.from_pretrained(base, config=config), bundle)
        encoder = model.base_model.model.bert
    else:
        model = BertForSequenceClassification.from_pretrained(bundle)
        encoder = model.bert
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(bundle)
    tasks = [head["task"] for head in config.barograph["heads"]]
    weights = load_file(Path(bundle) / "heads.safetensors") if len(tasks) > 1 else {}
    logits = [[] for _ in tasks]
    with torch.no_grad():
        for text, entity in texts:
            inputs = tokenizer(text, entity or None, return_tensors="pt")
            logits[0].append(model(**inputs).logits[0].tolist())
            pooled = encoder(**inputs).pooler_output[0]
            for i, task in enumerate(tasks[1:], 1):
                logits[i].append((weights[f"{task}.weight"] @ pooled + weights[f"{task}.bias"]).tolist())
    return {"labels": [model.config.id2label[i] for i in range(model.config.num_labels)], "logits": logits}


json.dump([read(**asked) for asked in json.load(sys.stdin)], sys.stdout)

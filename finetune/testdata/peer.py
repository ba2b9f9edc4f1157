"""The logits of a bundle by transformers and peft: peer.py BUNDLE BASE < JSON [[text, entity], …] > JSON [[logit, …], …]
of its first head. Texts are without links."""
import json
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertForSequenceClassification

bundle, base = map(Path, sys.argv[1:])
if (bundle / "adapter_config.json").exists():
    from peft import PeftModel

    labels = json.loads((bundle / "config.json").read_text(encoding="utf-8"))["num_labels"]
    model = PeftModel.from_pretrained(BertForSequenceClassification.from_pretrained(base, num_labels=labels), bundle)
else:
    model = BertForSequenceClassification.from_pretrained(bundle)
model.eval()
tokenizer = AutoTokenizer.from_pretrained(bundle)
out = []
with torch.no_grad():
    for text, entity in json.load(sys.stdin):
        out.append(model(**tokenizer(text, entity or None, return_tensors="pt")).logits[0].tolist())
json.dump(out, sys.stdout)

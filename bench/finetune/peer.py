"""The other side of bench/finetune: the same job by PyTorch, transformers and peft. python peer.py JOB.json"""
import json
import resource
import sys
import time

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
job = json.load(open(sys.argv[1]))
torch.set_num_threads(job["threads"])
torch.manual_seed(1)

config = BertConfig.from_pretrained(job["base"], num_labels=job["labels"], hidden_dropout_prob=job["dropout"],
                                    attention_probs_dropout_prob=job["dropout"])
model = BertForSequenceClassification.from_pretrained(job["base"], config=config)
if job["lora"]:
    model = get_peft_model(model, LoraConfig(
        r=job["rank"], lora_alpha=job["alpha"], target_modules=job["targets"],
        modules_to_save=["pooler", "classifier"], task_type="SEQ_CLS"))
else:
    model.bert.embeddings.requires_grad_(False)
trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
first = load_file(job["first"])
for name, p in trained.items():  # both sides begin with the same numbers
    p.data.copy_(first[name.replace(".default", "").replace(".modules_to_save", "")])
plain = [p for n, p in trained.items() if n.endswith(".bias") or "LayerNorm" in n]
decayed = [p for n, p in trained.items() if not (n.endswith(".bias") or "LayerNorm" in n)]
optimizer = torch.optim.AdamW([dict(params=decayed, weight_decay=job["decay"]), dict(params=plain, weight_decay=0)],
                              lr=1, fused=True)  # the fastest that it has on a CPU
parameters = list(trained.values())


def logits(b):
    shape = (b["rows"], b["cols"])
    return model(input_ids=torch.tensor(b["ids"]).view(shape), attention_mask=torch.tensor(b["mask"]).view(shape)).logits


model.train()
out = dict(losses=[], wall=[], cpu=[])
for step, rate in enumerate(job["rates"]):
    wall, cpu = time.perf_counter(), time.process_time()
    b = job["batches"][step % len(job["batches"])]
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    target = torch.tensor(b["target"]).view(b["rows"], job["labels"])
    loss = -(torch.log_softmax(logits(b), -1) * target).sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, job["clip"])
    optimizer.step()
    out["losses"].append(loss.item())
    out["wall"].append((time.perf_counter() - wall) * 1e3)
    out["cpu"].append((time.process_time() - cpu) * 1e3)
out["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
model.eval()
with torch.no_grad():
    out["said"] = [int(i) for b in job["valid"] or [] for i in logits(b).argmax(-1)]
print(json.dumps(out))

"""Loss, gradients and five steps of AdamW of tiny BERT classifiers, by PyTorch's autograd in float64 with
transformers and peft: pip install torch transformers peft && python reference.py
Writes base/ and base-tanh/ (checkpoints by transformers) and reference.json, beside this file."""
import json
from pathlib import Path

import peft
import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification

HERE = Path(__file__).parent
HIDDEN, LABELS, TOPICS = 8, 3, 4
RATE, DECAY, CLIP, STEPS = 1e-2, 0.05, 0.5, 5
torch.set_default_dtype(torch.float64)

# Three texts, the last two padded, the first and the second with a second segment. The second's sentiment and the
# third's topic are not known. Targets are soft, weighted and divided by the three rows.
IDS = [[2, 5, 7, 11, 3, 6, 9, 3], [2, 8, 3, 13, 3, 0, 0, 0], [2, 19, 17, 3, 0, 0, 0, 0]]
TYPES = [[0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0, 0], [0] * 8]
SENTIMENT = [[.31, .02, .01], [0, 0, 0], [.05, .05, .25]]
TOPIC = [[.01, .3, .01, .02], [.25, .03, .02, .03], [0, 0, 0, 0]]


def base(folder, act, seed):
    torch.manual_seed(seed)
    config = BertConfig(vocab_size=20, hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=12, max_position_embeddings=10, hidden_act=act, initializer_range=.4,
                        hidden_dropout_prob=0, attention_probs_dropout_prob=0, num_labels=LABELS)
    model = BertForSequenceClassification._from_config(config, attn_implementation="eager")
    for name, p in model.named_parameters():  # biases and normalisation that matter
        if p.dim() == 1:
            p.data += torch.randn_like(p) * .2
    model.float().save_pretrained(HERE / folder)
    # In float64, what float32 kept.
    return BertForSequenceClassification.from_pretrained(HERE / folder, dtype=torch.float64, attn_implementation="eager")


class Classifier(torch.nn.Module):
    """Both heads on one pooled vector: the checkpoint's own classifier and topic beside it."""

    def __init__(self, model, pooling):
        super().__init__()
        self.model, self.pooling = model, pooling
        self.topic = torch.nn.Linear(HIDDEN, TOPICS)

    def loss(self):
        ids = torch.tensor(IDS)
        mask = (ids != 0).long()
        mask[:, 0] = 1
        inner = self.model.base_model.model if isinstance(self.model, peft.PeftModel) else self.model
        out = inner.bert(input_ids=ids, attention_mask=mask, token_type_ids=torch.tensor(TYPES))
        pooled = out.pooler_output
        if self.pooling == "mean":
            m = mask[..., None].double()
            pooled = (out.last_hidden_state * m).sum(1) / m.sum(1)
        total = 0
        for head, target in ((inner.classifier, SENTIMENT), (self.topic, TOPIC)):
            total = total - (torch.log_softmax(head(pooled), -1) * torch.tensor(target)).sum()
        return total


def case(name, folder, mode, model, pooling="pooler"):
    torch.manual_seed(7)
    if mode == "lora":
        config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["query", "value", "output.dense", "intermediate.dense"],
                                 modules_to_save=["pooler", "classifier"], task_type="SEQ_CLS")
        model = peft.get_peft_model(model, config)
    if mode == "head":
        model.requires_grad_(False)
        for p in [*model.bert.pooler.parameters(), *model.classifier.parameters()]:
            p.requires_grad_(True)
    net = Classifier(model, pooling).eval()

    def file_name(n):
        n = n.removeprefix("model.")
        return n.replace(".default", "").replace(".modules_to_save", "")

    named = {file_name(n): p for n, p in net.named_parameters() if p.requires_grad}
    if pooling == "mean":
        named = {n: p for n, p in named.items() if "pooler" not in n}
    for n, p in named.items():
        if "lora_B" in n:
            p.data = torch.randn_like(p) * .3
        p.data = p.data.float().double()
    numbers = lambda t: [float(f"{v:.7g}") for v in t.detach().flatten().tolist()]
    own = [n for n in named if "lora_" in n or "classifier" in n or "topic" in n]  # not the base's
    out = dict(name=name, base=folder, mode=mode, pooling=pooling, init={n: numbers(named[n]) for n in own})
    decayed = [p for n, p in named.items() if not n.endswith(".bias") and "LayerNorm" not in n]
    others = [p for n, p in named.items() if n.endswith(".bias") or "LayerNorm" in n]
    adamw = torch.optim.AdamW([dict(params=decayed, weight_decay=DECAY), dict(params=others, weight_decay=0)], lr=RATE)
    out["losses"], out["norms"] = [], []
    for step in range(STEPS):
        adamw.zero_grad()
        loss = net.loss()
        loss.backward()
        if step == 0:
            out["gradients"] = {n: numbers(p.grad) for n, p in named.items()}
        out["norms"].append(float(torch.nn.utils.clip_grad_norm_(list(named.values()), CLIP)))
        out["losses"].append(float(loss))
        adamw.step()
    if pooling == "pooler" and folder == "base":
        out["after"] = {n: numbers(p) for n, p in named.items()}
    return out


def main():
    fresh = lambda folder, act: base(folder, act, 3)
    cases = [
        case("LoRA", "base", "lora", fresh("base", "gelu")),
        case("full", "base", "full", fresh("base", "gelu")),
        case("full, tanh form", "base-tanh", "full", fresh("base-tanh", "gelu_new")),
        case("mean pooling", "base", "full", fresh("base", "gelu"), "mean"),
        case("head only", "base", "head", fresh("base", "gelu")),
    ]
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}"
    out = dict(made_by=versions, rate=RATE, decay=DECAY, clip=CLIP, rank=2, alpha=6,
               targets=["query", "value", "output.dense", "intermediate.dense"],
               rows=3, cols=8, ids=sum(IDS, []), types=sum(TYPES, []),
               mask=[int(i != 0) for row in IDS for i in row],
               sentiment=sum(SENTIMENT, []), topic=sum(TOPIC, []), cases=cases)
    (HERE / "reference.json").write_text(json.dumps(out, separators=(",", ":")).replace('"init"', '\n"init"') + "\n")


main()

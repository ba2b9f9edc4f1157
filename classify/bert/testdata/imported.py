"""What transformers makes of an imported folder: imported.py FOLDER < JSON {"batch": [{"ids", "types"}, …], "texts": […]} >
JSON {"hidden": [[…], …], "pooled": [[…], …], "ids": [[…], …]}."""
import json
import sys

import torch
from transformers import AutoTokenizer, BertModel

model, said = BertModel.from_pretrained(sys.argv[1], output_loading_info=True)
assert not said["missing_keys"] and not said["unexpected_keys"], said
model.eval()
asked, out = json.load(sys.stdin), {"hidden": [], "pooled": []}
with torch.no_grad():
    for x in asked["batch"]:
        got = model(torch.tensor([x["ids"]]), token_type_ids=torch.tensor([x["types"]]))
        out["hidden"].append(got.last_hidden_state.flatten().tolist())
        out["pooled"].append(got.pooler_output.flatten().tolist())
out["ids"] = [AutoTokenizer.from_pretrained(sys.argv[1])(t, add_special_tokens=False)["input_ids"] for t in asked["texts"]]
json.dump(out, sys.stdout)

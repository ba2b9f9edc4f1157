"""Writes pairs.json: what Hugging Face's tokenizers make of a text with an entity as second segment, cut to a length by
leaving the text's end out.

    pip install tokenizers==0.23.3
    python pairs.py ../../.deps/bases
"""

import json
import os
import sys

from tokenizers import BertWordPieceTokenizer, Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
PAIRS = [
    ("Nokia falls as Ericsson wins order", "Nokia"), ("Nokia falls as Ericsson wins order", "Ericsson"),
    ("SpiceJet to issue 6.4 crore warrants to promoters", "SpiceJet"), ("", "Apple"), ("$AAPL up 3 %", "$AAPL"),
    ("Maruti, Hero MotoCorp and Tata Motors report; M&M cuts its guidance for the year after weak rural demand, and the "
     "shares of its suppliers give up what they had won in the morning", "Mahindra & Mahindra Ltd."),
    ("苹果公司下调业绩指引，腾讯控股大涨", "腾讯控股"), ("Éclair crédit agricole", "Crédit Agricole"),
]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "bank", "Bank", "##s", "fall", "##en", "rise", "É", "e", "##cl", "##air", "股", "价"]
CASED = [("Banks fall", "Bank"), ("bank fallen 股价", "Éclair"), ("[CLS] rise", "bank [SEP]")]


def encoded(tok, pairs, longest):
    tok.no_padding()
    out = []
    for text, entity in pairs:
        for n in longest:
            tok.enable_truncation(n, strategy="only_first")
            e = tok.encode(text, entity)
            out.append({"text": text, "entity": entity, "max": n, "ids": e.ids, "types": e.type_ids})
    return out


out = {}
for base in ("bge-small-en-v1.5", "bge-small-zh-v1.5"):
    tok = Tokenizer.from_file(os.path.join(sys.argv[1], base, "tokenizer.json"))
    out[base] = encoded(tok, PAIRS, (512, 48))
for lowercase in (True, False):
    tok = BertWordPieceTokenizer({t: i for i, t in enumerate(VOCAB)}, lowercase=lowercase)
    out["uncased" if lowercase else "cased"] = encoded(tok, CASED, (64,))
with open(os.path.join(HERE, "pairs.json"), "w") as f:
    json.dump({"vocabulary": VOCAB, "tokenizers": out}, f, ensure_ascii=False, separators=(",", ":"))

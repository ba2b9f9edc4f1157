"""Writes bpe.json and unigram.json: small tokenizers of the kinds that package wordpiece does
not read, with padding and truncation set as a trap, and the reference's ids for some texts.

    pip install tokenizers==0.23.3
    python reference.py
"""

import json
import os

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = [
    "shares fall after a profit warning", "the company raised its guidance for the year", "shares rise as the bank beats estimates",
    "the regulator fined the bank", "profit falls on weak sales", "股价下跌", "公司上调全年业绩指引", "银行股价上涨",
] * 20
TEXTS = [
    "shares fall after a profit warning", "The bank raised estimates", "公司股价下跌", "profit, sales & guidance: +12.5%", "",
    "a text that is longer than what the file would cut it to, which is sixteen tokens, so that cutting would be seen at once",
]


def bpe():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
                                                        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tok.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    return tok


def unigram():
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizers.Sequence([normalizers.NFKC()])
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    tok.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=120, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    tok.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tok


for name, tok in (("bpe", bpe()), ("unigram", unigram())):
    texts = [{"text": t, "ids": tok.encode(t, add_special_tokens=False).ids} for t in TEXTS]
    tok.enable_truncation(16)
    tok.enable_padding(length=64, pad_id=1, pad_token="<pad>")
    with open(os.path.join(HERE, name + ".json"), "w") as f:
        json.dump({"tokenizer": json.loads(tok.to_str()), "texts": texts}, f, separators=(",", ":"))

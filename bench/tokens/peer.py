"""Times Hugging Face's Rust tokenizers on one thread, on a file with a JSON list of texts:

    TOKENIZERS_PARALLELISM=false python peer.py TOKENIZER TEXTS

Prints the microseconds a text, text by text from Python, and all in one call that stays in Rust
and makes no offsets (the fastest way there is).
"""
import json
import pathlib
import sys
import time

from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_padding()
tokenizer.no_truncation()
texts = json.loads(pathlib.Path(sys.argv[2]).read_text(encoding="utf-8"))


def micros(encode):
    encode(texts[:100])
    start = time.perf_counter()
    encode(texts)
    return (time.perf_counter() - start) / len(texts) * 1e6


one = micros(lambda some: [tokenizer.encode(text, add_special_tokens=False) for text in some])
print(json.dumps({"one": one, "batch": micros(lambda some: tokenizer.encode_batch_fast(some, add_special_tokens=False))}))

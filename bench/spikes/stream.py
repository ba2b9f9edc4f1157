#!/usr/bin/env python3
"""Runs the benchmark's gen.py with one setting changed that it has no argument for.

    SPIKES=folder of the benchmark stream.py NAME [ARGUMENTS OF gen.py]
    stream.py --list            the names, each with what it changes

It fails where gen.py is not the one that the changes are of.
"""
import os, sys


def clusters(more):
    """Stories with some copies are this part of all; gen.py has .26 of them, and a mean of two copies."""
    return [("g = (u > 0.733) & (u <= 0.993)", "g = (u > %.3f) & (u <= 0.993)" % (.993 - more)),
            ("MEAN_CLUSTER = 1 + 0.26 * 2", "MEAN_CLUSTER = 1 + %.3f * 2" % more)]


# A tenth of all items go to another topic of their company, the next one or that after it.
CONFUSED = """
    topics = {}
    for i in range(K):
        topics.setdefault(names[i][0], []).append(i)
    def other(i):
        of = topics[names[i][0]]
        return of[(of.index(i) + 1 + int(rng.random() * 2)) % len(of)]
    moved = rng.random(len(key)) < .1
    key = np.array([other(i) if move else i for i, move in zip(key, moved)])
"""
Y = "    y = np.concatenate([c[2] for c in cols])\n"

# name: what people read, and what is replaced in gen.py
STREAMS = dict(
    copies=("40 % of copies have other words (20 %)", [("(rng.random(len(rep)) < .8)", "(rng.random(len(rep)) < .6)")]),
    large=("larger clusters: 2.2 items a story (1.7)", clusters(.493)),
    small=("smaller clusters: 1.4 items a story", clusters(.12)),
    topics=("10 % of topics confused", [(Y, Y + CONFUSED)]),
)


def main():
    if sys.argv[1:] == ["--list"]:
        for name, (what, _) in STREAMS.items():
            print("%s\t%s" % (name, what))
        return
    if len(sys.argv) < 2 or sys.argv[1] not in STREAMS or "SPIKES" not in os.environ:
        sys.exit(__doc__)
    path = os.path.join(os.environ["SPIKES"], "gen.py")
    with open(path) as f:
        source = f.read()
    for old, new in STREAMS[sys.argv[1]][1]:
        if source.count(old) != 1:
            sys.exit("%s has %r %d times, not once: bench/spikes/stream.py changes another gen.py" % (path, old, source.count(old)))
        source = source.replace(old, new)
    sys.argv = [path] + sys.argv[2:]
    exec(compile(source, path, "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()

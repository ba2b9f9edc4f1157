#!/usr/bin/env python3
"""Makes trend/testdata/reference.json: what the reference detector computes where trend/
implements the same rule (its test is trend/reference_test.go).

    SPIKES=folder of the benchmark python3 bench/spikes/vectors.py > trend/testdata/reference.json

The reference's global profile and share are held at their start, for trend/ takes them as an
argument. Standard library only.
"""
import json, os, random, sys

sys.path.insert(0, os.environ["SPIKES"])
import detector as ref

START = 1772409600  # Monday 2026-03-02 00:00 UTC


def learnt(rng, per_day, share, days):
    """A series' chunks of half an hour, in order, and its baseline after each day of them."""
    d = ref.Detector(cap_sd=2.5)  # what a burst adds, where trend/ departs from 4
    k = ref.Key(START)
    p, chunks, after = d.p, [], []
    for i in range(days * 48):
        items = sum(rng.random() < per_day / 48 / 40 for _ in range(40))
        if rng.random() < .01:
            items += 60  # more than a chunk counts for
        negative = sum(rng.random() < share for _ in range(items))
        chunks.append([items, negative])
        k.ring[START // ref.STEP + 6 * i] = [items, negative]
        d.gN, d.gE, d.gy, d.gn = [1.0] * 48, [1.0] * 48, 4.0, 20.0
        d.learn(k, START + (i + 1) * ref.CHUNK + p["guard"])
        d.gN, d.gE, d.gy, d.gn = [1.0] * 48, [1.0] * 48, 4.0, 20.0
        if i % 48 == 47:
            a, b = k.y / 1.7 + p["s0"] * .2, (k.n - k.y) / 1.7 + p["s0"] * .8
            after.append(dict(level=d.level(k), factor=[d.season(k, h) for h in range(48)], a=a, b=b,
                              shape=1 / (1 / p["kv"] + 1 / (p["a0"] + k.A / 1.7))))
    return dict(per_day=per_day, share=share, chunks=chunks, after=after)


def main():
    rng = random.Random(4)
    tails = []
    for _ in range(60):
        mean = 10 ** rng.uniform(-2, 3)
        size = 10 ** rng.uniform(-1, 2)
        y = max(1, round(mean * rng.uniform(1, 6) + rng.choice([0, 3])))
        tails.append(dict(y=y, mean=mean, size=size, p=ref.betainc(y, size, mean / (mean + size))))
    slots = [dict(t=t, slot=ref.slot(t)) for t in (START + rng.randrange(30 * 86400) for _ in range(60))]
    series = [learnt(rng, n, q, 9) for n, q in ((2, .3), (40, .1), (700, .25))]
    json.dump(dict(start=START, tails=tails, slots=slots, series=series), sys.stdout)
    print()


if __name__ == "__main__":
    main()

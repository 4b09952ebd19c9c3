#!/usr/bin/env python3
"""Routes and gates by the conventions of real routers, in plain Python.

    python3 tests/routes_reference.py [ROWS] [SEED]

Written from the papers' formulas, without a look at the book's C: no shared
code, no libraries. Prints ROWS random rows of each convention (1,000 at first),
ties and -inf among them; tests/test_chapter10.c holds the C to every one:

    name  E  K  number  logits  biases  experts  gates

Rows in which two different scores lie so close that a float's rounding could
swap them are drawn again: a tie is a tie, or it is none.
"""
import math
import random
import sys

INF = float("inf")
CLOSE = 1e-5


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def root(z):
    return math.sqrt(math.log1p(math.exp(z)))


def softmax(z):
    most = max(z)
    if most == -INF:
        return [math.nan] * len(z)
    e = [math.exp(v - most) for v in z]
    return [v / sum(e) for v in e]


def each(score):
    return lambda z: [score(v) for v in z]


# name: scores, gates over their sum, scale, bias, groups, open, best, closed
CONVENTIONS = {
    "softmax": (softmax, False, 1, False, 1, 1, 1, -INF),
    "renorm": (softmax, True, 1, False, 1, 1, 1, -INF),
    "sigmoid": (each(sigmoid), True, 1, False, 1, 1, 1, -INF),
    "own": (each(sigmoid), False, 1, False, 1, 1, 1, -INF),
    "sigmoid-bias": (each(sigmoid), True, 2.5, True, 1, 1, 1, -INF),
    "root-bias": (each(root), True, 1.5, True, 1, 1, 1, -INF),
    "softmax-bias": (softmax, False, 6, True, 1, 1, 1, -INF),
    "groups-maximum": (softmax, False, 16, False, 4, 2, 1, -INF),
    "groups-two": (each(sigmoid), True, 2.5, True, 4, 2, 2, -INF),
    "groups-zero": (each(sigmoid), True, 2.5, True, 4, 2, 2, 0.0),
    "hash": (each(root), True, 1.5, False, 1, 1, 1, -INF),
}


class TooClose(Exception):
    pass


def best(values, count):
    """The count largest, best first; equals in the order of their numbers."""
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    ranked = [values[i] for i in order]
    for a, b in zip(ranked, ranked[1:]):
        if 0 < a - b < CLOSE:
            raise TooClose
    return order[:count]


def splitmix(state):
    """Steele, Lea and Flood's generator."""
    mask = (1 << 64) - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        yield z ^ (z >> 31)


def hashed(number, experts, top_k):
    chosen = []
    for bits in splitmix(number):
        expert = (bits >> 32) * experts >> 32
        if expert not in chosen:
            chosen.append(expert)
        if len(chosen) == top_k:
            return chosen


def select(name, z, bias, top_k, number):
    scores, _, _, biased, groups, opened, summed, closed = CONVENTIONS[name]
    experts = len(z)
    if name == "hash":
        return hashed(number, experts, top_k)
    if not biased and groups == 1:
        return best(z, top_k)
    s = scores(z)
    key = [-INF if z[i] == -INF else s[i] + (bias[i] if biased else 0) for i in range(experts)]
    if groups > 1:
        size = experts // groups
        worth = []
        for g in range(groups):
            inside = sorted(key[g * size:(g + 1) * size], reverse=True)
            worth.append(sum(inside[:summed]))
        stay = best(worth, opened)
        key = [key[i] if i // size in stay else closed for i in range(experts)]
    return best(key, top_k)


def weigh(name, z, chosen):
    scores, over, scale = CONVENTIONS[name][:3]
    if max(z) == -INF:
        return [math.nan] * len(chosen)
    s = scores(z)
    mine = [s[i] for i in chosen]
    total = sum(mine) if over else 1
    return [v / total * scale if total else math.nan for v in mine]


def draw(name, generator):
    experts = generator.choice([4, 8, 16, 32])
    top_k = generator.randint(1, experts // 2 - 1) if CONVENTIONS[name][4] > 1 else generator.randint(1, experts)
    if experts == 4 and CONVENTIONS[name][6] > 1:
        experts = 8
    z = [generator.randint(-32, 32) / 8 for _ in range(experts)]
    if generator.random() < 0.3:
        for i in range(experts):
            if generator.random() < 0.3:
                z[i] = -INF
    if generator.random() < 0.2:
        z = [generator.choice([0.0, 0.5]) for _ in z]
    bias = [generator.randint(-64, 64) / 64 if generator.random() < 0.7 else 0.0 for _ in range(experts)]
    return top_k, z, bias, generator.randint(0, 50)


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    generator = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    for name in CONVENTIONS:
        done = 0
        while done < rows:
            top_k, z, bias, number = draw(name, generator)
            try:
                chosen = select(name, z, bias, top_k, number)
            except TooClose:
                continue
            gates = weigh(name, z, chosen)
            cells = [name, str(len(z)), str(top_k), str(number)]
            for row in (z, bias, chosen, gates):
                cells.append(" ".join(repr(v) if isinstance(v, float) else str(v) for v in row))
            print("\t".join(cells))
            done += 1


if __name__ == "__main__":
    main()

# PyTorch's side of `make bench`: the same layer and shapes, in five layouts, as
# tab-separated lines like bench.c's. Needs PyTorch (Debian: python3-torch).
# OpenBLAS does not know every CPU: without OPENBLAS_CORETYPE it may run at a
# fifth of its speed, so `make bench` sets it where the CPU has AVX-512.
import statistics
import sys
import time
import torch

SHAPES = [('S', 256, 64, 256, 4, 1), ('S', 256, 64, 256, 4, 2), ('M', 2048, 256, 1024, 8, 2),
          ('L', 4096, 512, 2048, 8, 2), ('F', 4096, 512, 512, 64, 6)]


def ffn(x, w, e):
    w1, b1, w2, b2 = w
    return torch.nn.functional.gelu(x @ w1[e] + b1[e], approximate='tanh') @ w2[e] + b2[e]


def route(x, router, k):
    gate, expert = (x @ router).topk(k)
    return gate.softmax(-1), expert


def loop(x, router, w, k):
    gate, expert = route(x, router, k)
    y = x.clone()
    for e in range(len(w[0])):
        token, choice = (expert == e).nonzero(as_tuple=True)
        y = y.index_add(0, token, ffn(x[token], w, e) * gate[token, choice, None])
    return y


def sliced(x, router, w, k):
    gate, expert = route(x, router, k)
    order = expert.flatten().argsort(stable=True)
    token = order // k
    parts = torch.bincount(expert.flatten(), minlength=len(w[0])).tolist()
    out = torch.cat([ffn(rows, w, e) for e, rows in enumerate(x[token].split(parts))])
    return x.index_add(0, token, out * gate.flatten()[order, None])


def slots(x, gate, expert, experts, k):
    capacity = -(-5 * len(x) * k // (4 * experts))
    place = torch.nn.functional.one_hot(expert.flatten(), experts).cumsum(0).gather(1, expert.view(-1, 1))[:, 0] - 1
    kept = (place < capacity).nonzero()[:, 0]
    row = expert.flatten()[kept] * capacity + place[kept]
    padded = x.new_zeros(experts * capacity, x.shape[1]).index_copy(0, row, x[kept // k])
    return padded.view(experts, capacity, -1), row, kept


def padded(x, router, w, k, multiply=torch.bmm):
    gate, expert = route(x, router, k)
    rows, row, kept = slots(x, gate, expert, len(w[0]), k)
    h = torch.nn.functional.gelu(multiply(rows, w[0]) + w[1][:, None], approximate='tanh')
    out = (multiply(h, w[2]) + w[3][:, None]).flatten(0, 1)
    return x.index_add(0, kept // k, out[row] * gate.flatten()[kept, None])


def einsum(x, router, w, k):
    return padded(x, router, w, k, lambda a, b: torch.einsum('ecd,edh->ech', a, b))


def mask(x, router, w, k):
    gate, expert = route(x, router, k)
    y = x
    for e in range(len(w[0])):
        y = y + ffn(x, w, e) * ((expert == e) * gate).sum(-1, keepdim=True)
    return y


def main():
    torch.manual_seed(1)
    layouts = {'torch loop': loop, 'torch slices': sliced, 'torch einsum': einsum, 'torch bmm': padded, 'torch mask': mask}
    for name, t, d, h, e, k in [s for s in SHAPES if s[0] in sys.argv[1:]]:
        x = torch.rand(t, d) * 2 - 1
        x.requires_grad_()
        router = torch.randn(d, e) / d ** 0.5
        w = [torch.randn(e, d, h) / d ** 0.5, torch.zeros(e, h), torch.randn(e, h, d) / h ** 0.5, torch.zeros(e, d)]
        for tensor in [router, *w]:
            tensor.requires_grad_()
        flops = 4 * k * t * d * h
        rounds = 31 if flops < 1e8 else 9 if flops < 1e10 else 3
        times = {}
        for turn in range(rounds + 1):
            for label, layout in layouts.items():
                if label == 'torch mask' and flops > 1e9 and turn > 1:
                    continue
                start = time.perf_counter()
                with torch.no_grad():
                    layout(x, router, w, k)
                middle = time.perf_counter()
                layout(x, router, w, k).sum().backward()
                end = time.perf_counter()
                for tensor in [x, router, *w]:
                    tensor.grad = None
                if turn:
                    times.setdefault((label, 'forward', 1), []).append(middle - start)
                    times.setdefault((label, 'both', 3), []).append(end - middle)
        for (label, direction, passes), took in sorted(times.items(), key=lambda item: item[0][2]):
            ms = statistics.median(took) * 1e3
            print(f'{name}\t{k}\t{label}\t{direction}\t{ms:.4f}\t{passes * flops / ms / 1e6:.2f}\t-', flush=True)


main()

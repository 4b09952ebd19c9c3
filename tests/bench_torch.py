# PyTorch's side of `make bench`: the same layer and shapes, in five layouts, and the same training
# steps, in three, as tab-separated lines like bench.c's. Needs PyTorch (Debian: python3-torch
# and libopenblas0: with the reference BLAS it runs at a tenth of its speed).
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


# Chapter 7's transformer: width, blocks, heads, window, windows, hidden, experts.
SIZES = {'A': (64, 2, 4, 32, 64, 256, 4), 'B': (128, 4, 4, 64, 32, 512, 4)}
SYMBOLS = 51
F = torch.nn.functional


def rms_norm(x, gain):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * gain


def layer_norm(x, gain):  # more than we do, and one call
    return F.layer_norm(x, x.shape[-1:], gain)


def attention(x, qkv, out, heads, mask):
    batch, window, d = mask.shape[0] // heads, mask.shape[1], x.shape[1]
    q, k, v = (x @ qkv).view(batch, window, 3, heads, -1).permute(2, 0, 3, 1, 4).flatten(1, 2).unbind(0)
    share = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=(d // heads) ** -0.5).softmax(-1)
    return torch.bmm(share, v).view(batch, heads, window, -1).transpose(1, 2).reshape(-1, d) @ out


def expert(x, w, e):
    return torch.addmm(w[3][e], F.gelu(torch.addmm(w[1][e], x, w[0][e]), approximate='tanh'), w[2][e])


def choose(x, router, k):
    z = x @ router
    p = z.softmax(-1)
    top, chosen = z.topk(k)
    count = torch.bincount(chosen.flatten(), minlength=z.shape[1])
    balance = z.shape[1] * (count / (k * len(x)) * p.mean(0)).sum()
    return top.softmax(-1) if k > 1 else p.gather(1, chosen), chosen, count, balance


def train_dense(x, router, w, k):
    return expert(x, w, 0), 0


def train_loop(x, router, w, k):
    gate, chosen, count, balance = choose(x, router, k)
    y = torch.zeros_like(x)
    for e in range(len(count)):
        token, choice = (chosen == e).nonzero(as_tuple=True)
        y = y.index_add(0, token, expert(x[token], w, e) * gate[token, choice, None])
    return y, balance


def train_slices(x, router, w, k):
    gate, chosen, count, balance = choose(x, router, k)
    order = chosen.flatten().argsort(stable=True)
    token = order // k
    y = torch.cat([expert(rows, w, e) for e, rows in enumerate(x[token].split(count.tolist()))])
    return torch.zeros_like(x).index_add(0, token, y * gate.flatten()[order, None]), balance


def train_bmm(x, router, w, k):  # padded to the fullest expert: none is dropped
    gate, chosen, count, balance = choose(x, router, k)
    most, order = int(count.max()), chosen.flatten().argsort(stable=True)
    of, token = chosen.flatten()[order], order // k
    row = of * most + torch.arange(len(order)) - (count.cumsum(0) - count)[of]
    rows = x.new_zeros(len(count) * most, x.shape[1]).index_copy(0, row, x[token]).view(len(count), most, -1)
    h = F.gelu(torch.baddbmm(w[1][:, None], rows, w[0]), approximate='tanh')
    y = torch.baddbmm(w[3][:, None], h, w[2]).flatten(0, 1)[row]
    return torch.zeros_like(x).index_add(0, token, y * gate.flatten()[order, None]), balance


def training_step(size, experts, k, layout, norm):
    d, blocks, heads, window, windows, hidden, _ = SIZES[size]
    everything = []

    def learned(*shape, scale=None):
        tensor = torch.randn(*shape) * (shape[-2] ** -0.5 if scale is None else scale)
        everything.append(tensor.requires_grad_())
        return tensor

    def constant(value, *shape):
        everything.append(torch.full(shape, value, requires_grad=True))
        return everything[-1]

    token, place, column = (learned(n, d, scale=0.02) for n in (SYMBOLS, window, window))
    block = [(constant(1., d), learned(d, 3 * d), learned(d, d), constant(1., d),
              learned(d, experts) if experts > 1 else None,
              [learned(experts, d, hidden), constant(0., experts, hidden), learned(experts, hidden, d),
               constant(0., experts, d)]) for _ in range(blocks)]
    gain, unembed = constant(1., d), learned(d, SYMBOLS)
    groups = [{'params': [p for p in everything if p.dim() > 1]},
              {'params': [p for p in everything if p.dim() == 1], 'weight_decay': 0}]
    adamw = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.1, foreach=True)
    mask = torch.full((window, window), float('-inf')).triu(1).expand(windows * heads, window, window)
    symbol, target = torch.randint(SYMBOLS, (2, windows * window)).unbind(0)
    columns = torch.randint(window, (windows * window,))

    def step():
        x = F.embedding(symbol, token) + F.embedding(columns, column)
        x = (x.view(windows, window, d) + place).view(-1, d)
        balance = 0
        for gain1, qkv, out, gain2, router, w in block:
            h = x + attention(norm(x, gain1), qkv, out, heads, mask)
            y, aux = layout(norm(h, gain2), router, w, k)
            x, balance = h + y, balance + 0.01 * aux
        (F.cross_entropy(norm(x, gain) @ unembed, target) + balance).backward()
        slopes = [p.grad for p in everything]
        size = torch.stack(torch._foreach_norm(slopes)).norm()
        torch._foreach_mul_(slopes, min(1., 1 / float(size)))
        adamw.step()
        adamw.zero_grad(set_to_none=True)

    return step


def train(size):
    models = [('dense', 1, 1, train_dense)] + [(f'K{k}', SIZES[size][6], k, layout) for k in (1, 2)
                                               for layout in (train_loop, train_slices, train_bmm)]
    tokens = SIZES[size][3] * SIZES[size][4]
    for model, experts, k, layout in models:
        for norm in rms_norm, layer_norm:
            step, took = training_step(size, experts, k, layout, norm), []
            for _ in range(3):
                step()
            start = time.perf_counter()
            while len(took) < 5 or time.perf_counter() - start < 1.5:
                before = time.perf_counter()
                step()
                took.append(time.perf_counter() - before)
            name = f'torch {layout.__name__[6:]} {norm.__name__[:-5]}'
            print(f'{size}\t{model}\t{name}\t{tokens / min(took):.0f}\t{tokens / statistics.median(took):.0f}\t-', flush=True)


def main():
    torch.manual_seed(1)
    for size in SIZES:
        if size in sys.argv[1:]:
            train(size)
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

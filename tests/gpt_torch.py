#!/usr/bin/env python3
"""Chapter 7's loss and gradients again, by PyTorch, from the book's formulas:

    build/chapter7 --data gradient --top-k 2 | python3 tests/gpt_torch.py
    build/chapter7 --data gradient --model mlp --norm batch | python3 tests/gpt_torch.py

Needs PyTorch (./setup bench). Exits 1 if the loss or a matrix of the gradient is off by more
than 1e-5 of its size.
"""
import sys
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
TINY = 1e-5


def read(lines):
    options, tokens, value, slope = None, [], {}, {}
    for line in lines:
        if line.startswith('#'):
            names = line[2:].split()
            options = dict(zip(names, map(float, next(lines).split())))
            continue
        kind, *rest = line.rstrip('\n').split('\t')
        if kind == 'token':
            tokens.append([int(n) for n in rest])
        else:
            name, rows, cols, *numbers = rest
            matrix = torch.tensor([float(n) for n in numbers]).reshape(int(rows), int(cols))
            (value if kind == 'value' else slope)[name] = matrix
    return options, torch.tensor(tokens), value, slope


def norm(x, gain):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + TINY) * gain


def attention(x, qkv, out, heads):
    b, s, d = x.shape
    q, k, v = (x @ qkv).reshape(b, s, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    score = q @ k.transpose(-1, -2) / (d // heads) ** 0.5
    score = score.masked_fill(torch.triu(torch.ones(s, s, dtype=torch.bool), 1), float('-inf'))
    return (score.softmax(-1) @ v).transpose(1, 2).reshape(b, s, d) @ out


def moe(x, w, part, o):
    """What the layer adds to x [T, D], and its balancing loss."""
    experts, top_k = int(o['experts']), int(o['top-k'])
    z = x @ w[part + 'router.w']
    p = z.softmax(-1)
    chosen = z.topk(top_k).indices
    gate = p.gather(-1, chosen) if o['softmax'] else z.gather(-1, chosen).softmax(-1)
    y = torch.zeros_like(x)
    for e in range(experts):
        ffn = f'{part}expert{e}.'
        said = F.gelu(x @ w[ffn + 'w1'] + w[ffn + 'b1'], approximate='tanh') @ w[ffn + 'w2'] + w[ffn + 'b2']
        y = y + (gate * (chosen == e)).sum(-1, keepdim=True) * said
    share = torch.bincount(chosen.flatten(), minlength=experts) / chosen.numel()
    return y, experts * (share * p.mean(0)).sum()


def loss_of(w, tokens, o):
    window = int(o['window'])
    symbol, target = tokens[:, 0].reshape(-1, window), tokens[:, 1]
    column = torch.zeros_like(symbol)
    for s in range(1, window):
        column[:, s] = torch.where(symbol[:, s - 1] == 0, 0, column[:, s - 1] + 1)
    x = w['token'][symbol] + w['place'][:window] + w['column'][column]
    balance = 0
    for b in range(int(o['blocks'])):
        part = f'block{b}.'
        h = x + attention(norm(x, w[part + 'gain1']), w[part + 'qkv'], w[part + 'out'], int(o['heads']))
        added, aux = moe(norm(h, w[part + 'gain2']).flatten(0, 1), w, part, o)
        x = h + added.reshape(h.shape)
        balance = balance + o['alpha'] * aux
    logits = norm(x, w['gain']) @ w['unembed']
    return F.cross_entropy(logits.flatten(0, 1), target), balance


def mlp_loss(w, tokens, o):
    """The MLP: eight rows added, blocks with a normalization before the activation, a product."""
    window, context, norm_kind = int(o['window']), int(o['context']), int(o['norm'])
    symbol, target = tokens[:, 0].reshape(-1, window), tokens[:, 1]
    symbols = len(w['embed']) // context
    x = sum(w['embed'][j * symbols + F.pad(symbol, (j, 0))[:, :window]] for j in range(context)).flatten(0, 1)
    for b in range(int(o['blocks'])):
        part = f'block{b}.'
        z = x @ w[part + 'w1']
        if norm_kind:
            axis = 0 if norm_kind == 3 else -1
            if norm_kind > 1:
                z = z - z.mean(axis, keepdim=True)
            z = z * torch.rsqrt((z * z).mean(axis, keepdim=True) + TINY) * w[part + 'gain']
        act = [F.relu, lambda v: F.gelu(v, approximate='tanh'), torch.tanh][int(o['activation'])]
        y = act(z + w[part + 'b1']) @ w[part + 'w2'] + w[part + 'b2']
        x = x + y if o['residual'] else y
    return F.cross_entropy(x @ w['unembed'], target), 0


def main():
    o, tokens, value, slope = read(sys.stdin)
    w = {name: matrix.requires_grad_() for name, matrix in value.items()}
    loss, balance = (mlp_loss if 'context' in o else loss_of)(w, tokens, o)
    (loss + balance).backward()
    worst, where = abs(loss.item() - o['loss']) / o['loss'], 'the loss'
    most = max(matrix.norm().item() for matrix in slope.values())
    for name, matrix in w.items():
        ours, theirs = slope[name], torch.zeros_like(matrix) if matrix.grad is None else matrix.grad
        size = max(ours.norm().item(), theirs.norm().item())
        error = (ours - theirs).norm().item() / size if size > 1e-6 * most else 0  # what a mean takes away has no slope
        if not error <= worst:
            worst, where = error, name
    print(f'{len(w)} matrices, loss {loss.item():.6f}: the largest difference is {worst:.1e}, in {where}')
    sys.exit(not worst <= 1e-5)


main()

# One token's four logits, and what becomes of them by three kinds of gates.
# data: build/live token
load "figures/live.gp"
plot @shapes

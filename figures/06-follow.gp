# One token on its way through the layer.
# data: build/live follow
load "figures/live.gp"
plot @shapes

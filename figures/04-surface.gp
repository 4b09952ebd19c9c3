# The auxiliary loss at E = 2 as level lines over load and mean probability.
# data: build/live surface
load "figures/live.gp"
plot @shapes

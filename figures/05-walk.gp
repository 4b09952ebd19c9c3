# A batch that walks into its slots, choice by choice.
# data: build/live walk
load "figures/live.gp"
plot @shapes

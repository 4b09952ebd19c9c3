# An untrained router against the scale of its weights.
# data: build/chapter2 --data scale
set logscale x
set xlabel "scale: variance of the first logits"
set ylabel "share of the most it can be"
set yrange [0:1.1]
set key top right
plot data using 1:2 with lines linetype 1 title "mean entropy, of log E", \
     data using 1:3 with lines linetype 2 dashtype 2 title "slope of the winner, of 1/4"

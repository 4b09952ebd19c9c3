# How undecided an untrained router is, against the scale of its weights.
# data: build/chapter2 --data scale
set logscale x
set xlabel "scale: variance of the first logits"
set ylabel "mean entropy (nats)"
set y2label "slope p(1 - p) of the winner"
set ytics nomirror
set y2tics
set yrange [0:1.5]
set y2range [0:0.3]
set key top right
plot data using 1:2 axes x1y1 with lines linetype 1 linewidth 2 title "entropy", \
     data using 1:3 axes x1y2 with lines linetype 2 linewidth 2 dashtype 2 title "slope"

# Effective experts over training, with and without balancing.
# data: build/chapter4 --data usage --seeds 20
set xlabel "step"
set ylabel "effective experts, of 8"
set yrange [0:8.4]
set key bottom left maxrows 3 Left reverse
plot data using 1:7 with lines linetype 6 linewidth 2 title "quantiles", \
     data using 1:6 with lines linetype 4 linewidth 2 dashtype 2 title "biases", \
     data using 1:4 with lines linetype 3 linewidth 2 title "alpha 0.1", \
     data using 1:5 with lines linetype 5 linewidth 2 dashtype 4 title "entropy 0.1", \
     data using 1:3 with lines linetype 1 linewidth 2 title "alpha 0.01", \
     data using 1:2 with lines linetype 2 linewidth 2 title "no balancing"

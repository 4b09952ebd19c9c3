# Three scales of an MLP's blocks, before the first step: slope, root mean square.
# data: build/chapter7 --data health --activation tanh
set logscale y
set format y "10^{%L}"
set xlabel "block"
set ylabel "slope, root mean square"
set xrange [0.8:3.2]
set yrange [1e-6:1e-1]
set xtics 1
set key top right maxrows 3
of(s, n) = strcol(1) eq s && strcol(2) eq n
plot for [i = 1:3] data using 3:(of(word("0.5 1 4", i), "none") ? $7 : NaN) with linespoints linetype i title "scale ".word("0.5 1 4", i), \
     for [i = 1:3] data using 3:(of(word("0.5 1 4", i), "layer") ? $7 : NaN) with linespoints linetype i dashtype 2 title "normalized"

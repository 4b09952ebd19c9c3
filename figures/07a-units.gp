# Three scales of an MLP's blocks, before the first step: saturated units.
# data: build/chapter7 --data health --activation tanh
set xlabel "block"
set ylabel "share saturated"
set xrange [0.8:3.2]
set yrange [0:1.6]
set ytics 0,0.25,1
set xtics 1
set key top right maxrows 3
of(s, n) = strcol(1) eq s && strcol(2) eq n
plot for [i = 1:3] data using 3:(of(word("0.5 1 4", i), "none") ? $5 : NaN) with linespoints linetype i title "scale ".word("0.5 1 4", i), \
     for [i = 1:3] data using 3:(of(word("0.5 1 4", i), "layer") ? $5 : NaN) with linespoints linetype i dashtype 2 title "normalized"

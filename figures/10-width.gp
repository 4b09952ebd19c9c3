# The share of experts used against the width of one.
# data: build/chapter10 --data designs
set logscale xy
set xlabel "hidden width of an expert, in model widths"
set ylabel "share of experts used, K/E"
set xrange [0.15:12]
set yrange [0.0003:0.7]
set xtics ("1/4" 0.25, "1/2" 0.5, 1, 2, 4)
set ytics ("1/4" 0.25, "1/16" 0.0625, "1/64" 0.015625, "1/256" 0.00390625, "1/1024" 0.0009765625)
named(k) = k eq "mixtral-8x7b" ? "Mixtral" : k eq "kimi-k3" ? "Kimi K3" : k eq "switch-base" ? "Switch-Base" : k eq "switch-c" ? "Switch-C" : ""
plot data using 7:5 with points linetype 3 pointsize 0.8, \
     data using (named(strcol(1)) eq "" ? NaN : $7):5:(named(strcol(1))) with labels left offset 0.7,-0.5

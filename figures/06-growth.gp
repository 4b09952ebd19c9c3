# How the layer's time grows with T, E and K, over that of two dense blocks:
# figures/data/06-growth.tsv, measured once on the machine named there.
table = "figures/data/06-growth.tsv"
row(what) = sprintf("< grep '^%s' %s", what, table)
curves = 'row(what) using 2:4 with linespoints linetype 1 pointtype 7 pointsize 0.5, \
    "" using 2:5 with linespoints linetype 2 pointtype 7 pointsize 0.5, 1 with lines linetype 8 dashtype 3'
set multiplot layout 1,3
set logscale x 2
set logscale y 2
set yrange [0.025:5]
set ytics ("1/32" 1./32, "1/16" 1./16, "1/8" 1./8, "1/4" 1./4, "1/2" 1./2, "1" 1, "2" 2, "4" 4)
set key off
set ylabel "times the dense block"
set xlabel "tokens, T"
set xrange [8:9000]
set xtics ("8" 8, "128" 128, "2048" 2048)
set label 1 "K H" at 9000,1.6 right
set label 2 "E H" at 9000,0.19 right
what = "T"
plot @curves
unset ylabel
unset label
set xlabel "experts, E"
set xrange [2:140]
set xtics ("2" 2, "8" 8, "32" 32, "128" 128)
what = "E"
plot @curves
set xlabel "choices, K"
set xrange [1:8.3]
set xtics ("1" 1, "2" 2, "4" 4, "8" 8)
what = "K"
plot @curves
unset multiplot

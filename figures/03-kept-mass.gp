# Mean kept mass against K, by the scale of the router's weights.
# data: build/chapter3 --data kept-mass --experts 8
set xlabel "experts kept, K of 8"
set ylabel "mean kept mass"
set xrange [1:8]
set yrange [0:1.02]
set key at graph 0.76,0.04 right bottom
plot data using 1:4 with linespoints linetype 3 pointtype 7 title "scale 10", \
     data using 1:3 with linespoints linetype 1 pointtype 5 title "scale 1", \
     data using 1:2 with linespoints linetype 2 pointtype 9 title "scale 0.1", \
     x / 8 with lines linetype 8 dashtype 3 title "K/E"

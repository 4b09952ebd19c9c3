# Share of the block's output against hidden units kept.
# data: build/chapter1 --data top-share
set xlabel "share of hidden units kept, the strongest first"
set ylabel "share of the output carried"
set xrange [0:1]
set yrange [0:1.02]
set key bottom right
set arrow from 0.25,0 to 0.25,1.02 nohead dashtype 2
plot data using 1:2 with lines linetype 2 linewidth 2 title "before training", \
     data using 1:3 with lines linetype 1 linewidth 2 title "after training"

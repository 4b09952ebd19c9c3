# The probabilities of a hand-sized token, and what shifting and scaling do to them.
# data: build/chapter2 --data change
set style data histograms
set style histogram clustered gap 1
set boxwidth 0.9
set yrange [0:1]
set ylabel "probability"
set key top right
plot data using 2:xtic(1) linetype 1 title "as it is", '' using 3 linetype 7 title "10 added", \
     '' using 4 linetype 2 title "times 3", '' using 5 linetype 3 title "divided by 3"

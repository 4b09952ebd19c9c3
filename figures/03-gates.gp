# One token's probabilities and its gates under three conventions.
# data: build/chapter3 --data gates --experts 8
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set xlabel "expert"
set yrange [0:1]
set key top right
plot data using 2:xtic(1) linetype 8 title "probability", \
     data using 3 linetype 1 title "softmax, then top-k", \
     data using 4 linetype 2 title "top-k, then softmax", \
     data using 5 linetype 3 title "sigmoid, normalized"

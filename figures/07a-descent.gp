# The learned bigram above the counted one: plain descent and AdamW.
# data: build/chapter7 --data descent
set logscale xy
set xlabel "step"
set ylabel "bits above the counted table"
set xrange [1:2000]
set yrange [1e-6:10]
set format y "10^{%L}"
set key at graph 0.98,0.96
plot data using 1:2 with lines linetype 1 title "plain descent", \
     data using 1:3 with lines linetype 2 title "AdamW"

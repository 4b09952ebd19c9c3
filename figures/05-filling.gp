# Slots taken by each expert while the line of tokens walks.
# data: build/chapter5 --data filling --experts 4 --shares 9,2,2,2
set xlabel "tokens that have walked"
set ylabel "slots taken"
set xrange [0:64]
set yrange [0:18]
set key outside right
plot 16 with lines linetype 8 dashtype 3 title "capacity", \
     data using 1:2 with steps linetype 1 linewidth 2 title "expert 0", \
     data using 1:3 with steps linetype 2 linewidth 2 title "expert 1", \
     data using 1:4 with steps linetype 3 linewidth 2 title "expert 2", \
     data using 1:5 with steps linetype 4 linewidth 2 title "expert 3", \
     data using 1:($6 + 0.7) with points linetype 1 pointtype 2 pointsize 0.5 title "refused"

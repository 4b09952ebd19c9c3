# Dropped tokens and wasted slots against the capacity factor.
# data: build/chapter5 --data sweep
set xlabel "capacity factor"
set ylabel "share"
set xrange [0.5:4]
set yrange [0:1]
set key outside right
plot data using 1:2 with lines linetype 3 title "dropped, balanced", \
     data using 1:4 with lines linetype 1 title "dropped, 30 % on one", \
     data using 1:6 with lines linetype 2 title "dropped, 60 % on one", \
     data using 1:3 with lines linetype 3 dashtype 2 title "wasted, balanced", \
     data using 1:5 with lines linetype 1 dashtype 2 title "wasted, 30 % on one", \
     data using 1:7 with lines linetype 2 dashtype 2 title "wasted, 60 % on one"

# Dropped tokens and wasted slots against the capacity factor.
# data: build/chapter5 --data sweep
set xlabel "capacity factor"
set ylabel "share"
set xrange [0.5:4]
set yrange [0:1]
set key top left Left reverse
set label "balanced" at 1.52,0.04 left textcolor linetype 3
set label "30 % on one" at 1.7,0.14 left textcolor linetype 1
set label "60 % on one" at 2.15,0.36 left textcolor linetype 2
plot keyentry with lines linetype 8 title "dropped", keyentry with lines linetype 8 dashtype 2 title "wasted", \
     data using 1:2 with lines linetype 3, data using 1:4 with lines linetype 1, data using 1:6 with lines linetype 2, \
     data using 1:3 with lines linetype 3 dashtype 2, data using 1:5 with lines linetype 1 dashtype 2, \
     data using 1:7 with lines linetype 2 dashtype 2

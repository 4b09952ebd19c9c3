# What the hot rank receives by exact and by equal messages, and what the equal ones drop.
# data: build/chapter11 --data sweep
set multiplot layout 2,1 margins char 9,char 2,char 3.4,char 1 spacing char 1.5
set xrange [0.08:0.43]
set key off
set ylabel "KiB received"
set yrange [0:60]
set ytics 30
set xtics ("" 0.1, "" 0.2, "" 0.3, "" 0.4)
set label 1 "exact" at 0.35,54 right
set label 2 "cf = 2" at 0.39,46 left
set label 3 "1.25" at 0.39,30 left
set label 4 "1" at 0.39,22 left
plot data using 1:($2/1024) with lines linetype 2, data using 1:($3/1024) with lines linetype 1 dashtype 2, \
     data using 1:($4/1024) with lines linetype 3 dashtype 2, data using 1:($5/1024) with lines linetype 4 dashtype 2
set xtics ("0.1" 0.1, "0.2" 0.2, "0.3" 0.3, "0.4" 0.4)
set xlabel "share of the choices on expert 0"
set ylabel "share dropped"
set yrange [0:0.4]
set ytics 0.2
unset label 1
set label 2 "cf = 2" at 0.39,0.135 left
set label 3 "1.25" at 0.39,0.235 left
set label 4 "1" at 0.39,0.315 left
plot data using 1:6 with lines linetype 1 dashtype 2, data using 1:7 with lines linetype 3 dashtype 2, \
     data using 1:8 with lines linetype 4 dashtype 2
unset multiplot

# The model's exchange beside DeepEP's published times, and tokens a second and rank.
# data: build/chapter11 --data curve
set multiplot layout 2,1 margins char 9,char 2,char 3.4,char 1 spacing char 1.5
set logscale x 2
set xrange [7:5000]
set key off
set ylabel "µs"
set yrange [0:420]
set ytics 200
set xtics ("" 8, "" 64, "" 512, "" 4096)
set label 1 "combine" at 4000,365 right
set label 2 "dispatch" at 4000,220 right
plot data using 1:2 with lines linetype 1, data using 1:3 with lines linetype 2, \
     data using 1:4 with points linetype 1 pointtype 7 pointsize 0.7, data using 1:5 with points linetype 2 pointtype 5 pointsize 0.7
set xtics ("8" 8, "64" 64, "512" 512, "4096" 4096)
set xlabel "ranks"
set ylabel "million tokens/s"
set yrange [0:0.8]
set ytics 0.4
set label 1 "Mixtral" at 4000,0.59 right
set label 2 "Qwen3" at 11,0.66 left
set label 3 "V3" at 4000,0.09 right
set label 4 "V3, four nodes" at 4000,0.4 right
plot data using 1:($6/1e6) with lines linetype 3, data using 1:($7/1e6) with lines linetype 4, \
     data using 1:($8/1e6) with lines linetype 6, data using 1:($9/1e6) with lines linetype 6 dashtype 2
unset multiplot

# The auxiliary loss at E = 2 as level lines over load and mean probability.
# data: build/chapter4 --data surface --seeds 0
below = "0.25 0.5 0.75"
above = "1.25 1.5 1.75"
set contour base
unset surface
do for [level in below . " " . above] {
    set cntrparam levels discrete level + 0
    set table sprintf("%s.%s.level", data, level)
    splot data using 1:2:3 with lines
    unset table
}
unset contour
set datafile separator whitespace
set xlabel "load of expert 0, f₀"
set ylabel "mean probability, P₀"
set xrange [0:1]
set yrange [0:1]
set size square
unset grid
set key off
set arrow from 0.5,0 to 0.5,1 nohead dashtype 2 linecolor rgb "#888888"
set arrow from 0,0.5 to 1,0.5 nohead dashtype 2 linecolor rgb "#888888"
set label "1" at 0.52,0.06
set label "2" at 1.02,1
set label "0" at 1.02,0.01
# A level's label stands where its line crosses the main or the other diagonal.
at(level) = (level > 1 ? (1 + sqrt(level - 1)) / 2 : (1 + sqrt(1 - level)) / 2)
plot for [level in below] sprintf("%s.%s.level", data, level) using 1:2 with lines linetype 1 linewidth 2, \
     for [level in above] sprintf("%s.%s.level", data, level) using 1:2 with lines linetype 2 linewidth 2, \
     for [level in "0.5 0.75"] "+" using (at(level + 0)):(1 - at(level + 0)):(level) every ::0::0 with labels left offset 0.6,-0.1, \
     for [level in "1.25 1.5"] "+" using (at(level + 0)):(at(level + 0)):(level) every ::0::0 with labels left offset 0.6,0.1, \
     "+" using (0.75):(0.375) every ::0::0 with points linetype 6 pointtype 7 pointsize 1

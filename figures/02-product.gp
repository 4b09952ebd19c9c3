# A token's row times an expert's column is one logit: x [1, D], W [D, E], z [1, E].
# data: build/chapter2
unset border
unset tics
unset grid
set xrange [-0.2:15.2]
set yrange [-1.3:5.2]
set size ratio -1
cell(x, y) = sprintf("%g,%g", x, y)
do for [i = 0:3] {
    set object rectangle from i, 1.5 to i + 1, 2.5 fillstyle empty border linecolor rgb "#888888"
    set object rectangle from i + 0.06, 1.56 to i + 0.94, 2.44 fillcolor linetype 2 fillstyle solid 0.45 noborder
    do for [j = 0:3] { set object rectangle from 5.5 + j, i to 6.5 + j, i + 1 fillstyle empty border linecolor rgb "#888888" }
    set object rectangle from 7.56, i + 0.06 to 8.44, i + 0.94 fillcolor linetype 1 fillstyle solid 0.45 noborder
    set object rectangle from 11 + i, 1.5 to 12 + i, 2.5 fillstyle empty border linecolor rgb "#888888"
}
set object rectangle from 13.06, 1.56 to 13.94, 2.44 fillcolor linetype 3 fillstyle solid 0.65 noborder
set label 1 "×" at 4.75, 2 center
set label 2 "=" at 10.25, 2 center
set label 3 "x  [1, D]" at 2, 2.95 center
set label 4 "W  [D, E]" at 7.5, 4.5 center
set label 5 "z  [1, E]" at 13, 2.95 center
set label 6 "the column of expert 2" at 8, -0.55 center textcolor linetype 1
set label 7 "its logit" at 13.5, 1.05 center textcolor linetype 3
set label 8 "the token" at 2, 1.05 center textcolor linetype 2
plot NaN notitle

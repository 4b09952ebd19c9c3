# The plane cut into cones by a router with D = 2: who wins a vector of each direction.
# data: build/chapter2 --data cones
unset border
unset tics
unset grid
set size ratio -1
set xrange [-1.7:2.6]
set yrange [-1.15:1.15]
set key at screen 0.98, 0.9 right
wedge(e) = "< awk -F '\\t' '$4 == \"cone\" { if ($3 == " . e . ") { print 0, 0; print $1, $2; " \
    . "print cos(atan2($2, $1) + 0.00873), sin(atan2($2, $1) + 0.00873); print 0, 0; print \"\" } }' " . data
arrow(e) = "< awk -F '\\t' '$4 == \"column\" && $3 == " . e . " { print 0, 0, $1, $2 }' " . data
set datafile separator whitespace
plot for [e = 0:3] wedge(sprintf("%d", e)) using 1:2 with filledcurves closed linetype e + 1 fillstyle solid 0.35 noborder \
         title sprintf("expert %d", e), \
     for [e = 0:3] arrow(sprintf("%d", e)) using 1:2:3:4 with vectors filled linetype e + 1 linewidth 3 notitle

# Eight tokens on their way to their experts and back: colors are experts, and
# what comes back is as long as its gate. A phone shows three quarters of the
# width, so all stays left of 77.
# data: build/chapter3 --data rows
rows = "< awk -F '\t' '/^#/ { last = -1; next } { k = $1 == last ? k + 1 : 0; last = $1; at = k ? at + gate : 0; gate = $3; " \
    . "print $1 \"\t\" $2 \"\t\" $3 \"\t\" ($4 == \"\\\\n\" ? \"¶\" : $4) \"\t\" k \"\t\" n[$2]++ \"\t\" at }' " . data
unset border
unset tics
unset grid
set lmargin 0
set rmargin 0
set tmargin 0
set bmargin 0
set xrange [0:100]
set yrange [-1.4:9]
set label 1 "tokens" at 8,8.5 center
set label 2 "gathered by expert" at 36.5,8.5 center
set label 3 "combined" at 67,8.5 center
set label 4 "expert" at 18.5,-0.8 right
set arrow 1 from 15,4 to 19,4 linewidth 1.5 linecolor rgb "#888888"
set arrow 2 from 54,4 to 58,4 linewidth 1.5 linecolor rgb "#888888"
plot rows using (5.5 + 5 * $5):(7.5 - $1):(2.5):(0.42):($2 + 1) with boxxyerror linecolor variable, \
     rows using (1.5):($5 > 0 ? NaN : 7.5 - $1):4 with labels center noenhanced, \
     rows using (23 + 9 * $2):(0.1 + $6):(3.5):(0.42):($2 + 1) with boxxyerror linecolor variable, \
     rows using (23 + 9 * $2):(0.1 + $6):4 with labels center noenhanced, \
     rows using (60 + 14 * ($7 + $3 / 2)):(7.5 - $1):(7 * $3):(0.42):($2 + 1) with boxxyerror linecolor variable, \
     rows using (75.5):($5 > 0 ? NaN : 7.5 - $1):4 with labels center noenhanced, \
     for [e = 0:3] "+" using (23 + 9 * e):(-0.8):(sprintf("%d", e)) every ::0::0 with labels center textcolor linetype e + 1

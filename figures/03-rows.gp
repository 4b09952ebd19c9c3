# Eight tokens on their way to their experts and back: colors are experts, and
# what comes back is as long as its gate.
# data: build/chapter3 --data rows
rows = "< awk -F '\t' '/^#/ { last = -1; next } { k = $1 == last ? k + 1 : 0; last = $1; at = k ? at + gate : 0; gate = $3; " \
    . "print $1 \"\t\" $2 \"\t\" $3 \"\t\" ($4 == \"\\\\n\" ? \"¶\" : $4) \"\t\" k \"\t\" n[$2]++ \"\t\" at }' " . data
unset border
unset tics
unset grid
set xrange [0:100]
set yrange [-1.3:9.2]
set label 1 "tokens" at 11,8.6 center
set label 2 "gathered by expert" at 49,8.6 center
set label 3 "combined by gate" at 87.5,8.6 center
set arrow 1 from 19.5,4 to 25,4 linewidth 1.5 linecolor rgb "#888888"
set arrow 2 from 73.5,4 to 79,4 linewidth 1.5 linecolor rgb "#888888"
plot rows using (8 + 6 * $5):(7.5 - $1):(3):(0.42):($2 + 1) with boxxyerror linecolor variable, \
     rows using (2.5):($5 > 0 ? NaN : 7.5 - $1):4 with labels center noenhanced, \
     rows using (31 + 12 * $2):(0.1 + $6):(4):(0.42):($2 + 1) with boxxyerror linecolor variable, \
     rows using (31 + 12 * $2):(0.1 + $6):4 with labels center noenhanced textcolor rgb "#111111", \
     rows using (80 + 15 * ($7 + $3 / 2)):(7.5 - $1):(7.5 * $3):(0.42):($2 + 1) with boxxyerror linecolor variable, \
     rows using (97.5):($5 > 0 ? NaN : 7.5 - $1):4 with labels center noenhanced, \
     for [e = 0:3] "+" using (31 + 12 * e):(-0.9):(sprintf("expert %d", e)) every ::0::0 with labels center textcolor linetype e + 1

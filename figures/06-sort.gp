# The counting sort: choices in the order of the text, each expert's count and
# start, rows in the order of the experts.
# data: build/chapter6 --data sort --tokens 6 --capacity-factor 1
runs = "< awk -F '\t' '!/#/ && $4 >= 0 { n[$3]++; if (!($3 in s) || $4 < s[$3]) s[$3] = $4 } END { for (e in n) print e \"\\t\" s[e] \"\\t\" n[e] }' " . data
set border 0
unset xtics
unset ytics
unset grid
set style fill solid 0.6 border
set xrange [-0.7:11.7]
set yrange [-0.8:8.4]
set label 1 "1. choices, in the order of the text" at -0.5,8.1 left
set label 2 "2. each expert's count and, added up, its start" at -0.5,4.75 left
set label 3 "3. rows, in the order of the experts" at -0.5,1.35 left
plot data using 1:(6.6):($1 - 0.42):($1 + 0.42):(5.9):(7.3):($3 + 1) with boxxyerror linecolor variable, \
     "" using 1:(6.95):2 with labels, \
     "" using 1:(6.25):($4 < 0 ? "-" : sprintf("%d", $3)) with labels, \
     runs using ($2 + $3 / 2. - 0.5):(3.3):($2 - 0.42):($2 + $3 - 0.58):(2.6):(4):($1 + 1) with boxxyerror linecolor variable, \
     "" using ($2 + $3 / 2. - 0.5):(3.65):3 with labels, \
     "" using ($2 + $3 / 2. - 0.5):(2.95):2 with labels, \
     data using ($4 < 0 ? NaN : $4):(0):($4 - 0.42):($4 + 0.42):(-0.7):(0.7):($3 + 1) with boxxyerror linecolor variable, \
     "" using ($4 < 0 ? NaN : $4):(0.35):2 with labels, \
     "" using ($4 < 0 ? NaN : $4):(-0.35):4 with labels

# The line of text as it walks, and the experts' slots that it takes.
# data: build/chapter5 --data queue
stats data using 5 nooutput
slots = int(STATS_max)
row = 8 # of the line
refused(before) = before >= slots
x(before) = before + (refused(before) ? 0.3 : 0)
y(expert) = 3 - expert
line(turn) = 6.9 - int(turn / row)
shown(character) = character eq '\n' || character eq "\n" ? "¶" : character
unset border
unset tics
unset grid
set xrange [-2.6:11.6]
set yrange [-0.6:7.5]
set lmargin 0
set rmargin 0
set tmargin 0
set bmargin 0
set label "the line" at -0.8,line(0) right front
set label "no slot left" at x(slots),y(0) + 0.8 center front
do for [e = 0:3] {
    set label sprintf("expert %d", e) at -0.8,y(e) right front
    do for [s = 0:slots - 1] {
        set object rectangle center s,y(e) size 0.88,0.8 fillstyle empty border linecolor rgb "#888888" dashtype 3
    }
}
set arrow from slots - 0.35,y(0) + 0.6 to slots - 0.35,y(3) - 0.6 nohead linecolor rgb "#888888" linewidth 2
plot data using (int($1) % row):(line($1)):(0.44):(0.4):($3 + 1) \
         with boxxyerror linecolor variable fillstyle transparent solid 0.3 border, \
     data using (refused($4) ? NaN : x($4)):(y($3)):(0.44):(0.4):($3 + 1) \
         with boxxyerror linecolor variable fillstyle transparent solid 0.3 border, \
     data using (refused($4) ? x($4) : NaN):(y($3)):(0.44):(0.4):($3 + 1) \
         with boxxyerror linecolor variable fillstyle empty border, \
     data using (refused($4) ? x($4) + 0.22 : NaN):(y($3)):($3 + 1) \
         with points pointtype 2 pointsize 1.2 linecolor variable, \
     data using (int($1) % row):(line($1)):(shown(strcol(2))) with labels noenhanced, \
     data using (x($4) - (refused($4) ? 0.18 : 0)):(y($3)):(shown(strcol(2))) with labels noenhanced

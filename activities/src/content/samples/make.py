"""Writes the sample documents beside this file; the tests compare their texts with literals.

Made once with python-docx 1.2.0, openpyxl 3.1.5, python-pptx 1.0.2 and reportlab 5.1.0:
    pip install python-docx openpyxl python-pptx reportlab && python make.py
"""

import datetime
import pathlib

import docx
import openpyxl
import pptx
import pptx.util
import reportlab.lib.pagesizes
import reportlab.pdfgen.canvas
import reportlab.rl_config

HERE = pathlib.Path(__file__).parent


def write_docx():
    document = docx.Document()
    document.core_properties.author = "samples"
    document.add_heading("Quarterly report", level=0)
    document.add_heading("Results", level=1)
    paragraph = document.add_paragraph("Sales grew by ")
    paragraph.add_run("12 %").bold = True
    paragraph.add_run(" in the café business.")
    document.add_paragraph("North", style="List Bullet")
    document.add_paragraph("Harbour", style="List Bullet 2")
    document.add_paragraph("Plan", style="List Number")
    document.add_paragraph("Build", style="List Number")
    document.add_heading("Figures", level=2)
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["Region", "Sales", "North | East", "12\n(estimate)"]):
        cell.text = text
    document.add_paragraph("The end.")
    # Most of the default template is styles for tables, a theme and a thumbnail.
    kept = {"Title", "Normal", "List Bullet", "List Bullet 2", "List Number", "Heading 1", "Heading 2", "Normal Table"}
    for style in [style for style in document.styles if style.name not in kept]:
        style.delete()
    document.styles.element.remove(document.styles.latent_styles.element)
    for part in (document.part, document.part.package):
        for key, relationship in list(part.rels.items()):
            if relationship.reltype.rsplit("/", 1)[-1] in {"theme", "thumbnail", "customXml", "stylesWithEffects"}:
                del part.rels[key]
    document.save(HERE / "sample.docx")


def write_xlsx():
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "Sales"
    sheet.append(["Region", "Units", "Price", "Since", "Open", "Note"])
    sheet.append(["North", 12, 9.5, datetime.date(2026, 3, 1), True, "a|b"])
    sheet.append(["South", 7, 0.1, datetime.datetime(2026, 3, 1, 14, 30), False, "two\nlines"])
    sheet["B5"] = "=SUM(B2:B3)"
    sheet["D5"] = datetime.time(8, 15)
    sheet["E5"] = datetime.timedelta(hours=30, minutes=5)
    hidden = workbook.create_sheet("Hidden & more")
    hidden.sheet_state = "hidden"
    hidden["C3"] = "café"
    workbook.create_sheet("Nothing")
    workbook.save(HERE / "sample.xlsx")

    workbook = openpyxl.Workbook()
    workbook.active.title = "Corners"
    workbook.active["A1"] = "first"
    workbook.active["XFD1048576"] = "last"
    workbook.save(HERE / "corners.xlsx")

    openpyxl.Workbook().save(HERE / "empty.xlsx")


def write_pptx():
    presentation = pptx.Presentation()
    # Only the layouts used below: the rest of the default template is several times the size of the slides.
    used = {0, 1, 5}
    slide = presentation.slides.add_slide(presentation.slide_layouts[0])
    slide.shapes.title.text = "Quarterly report"
    slide.placeholders[1].text = "Spring"
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "Results"
    frame = slide.placeholders[1].text_frame
    frame.text = "Sales grew"
    inner = frame.add_paragraph()
    inner.text = "in the café business"
    inner.level = 1
    slide.notes_slide.notes_text_frame.text = "Smile.\nThank the team."
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    table = slide.shapes.add_table(2, 2, 0, 0, pptx.util.Inches(4), pptx.util.Inches(1)).table
    for (row, column), text in {(0, 0): "Region", (0, 1): "Sales", (1, 0): "North | East", (1, 1): "12"}.items():
        table.cell(row, column).text = text
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 100, 100).text_frame.text = "In a group"
    # The last slide is shown first.
    order = presentation.slides._sldIdLst
    order.insert(0, order[2])
    layouts = presentation.slide_layouts
    for index in sorted(set(range(len(layouts))) - used, reverse=True):
        layouts.remove(layouts[index])
    presentation.save(HERE / "sample.pptx")


def write_pdf():
    reportlab.rl_config.invariant = 1
    canvas = reportlab.pdfgen.canvas.Canvas(str(HERE / "sample.pdf"), pagesize=reportlab.lib.pagesizes.A4)
    canvas.beginForm("stamp")
    canvas.setFont("Times-Roman", 10)
    canvas.drawString(0, 0, "Approved stamp")
    canvas.endForm()
    canvas.setFont("Helvetica", 16)
    canvas.drawString(72, 760, "Quarterly report")
    canvas.setFont("Helvetica", 11)
    canvas.drawString(72, 730, "Sales grew by 12 % in the café business.")
    canvas.drawString(72, 715, "Nothing else changed.")
    canvas.saveState()
    canvas.translate(72, 680)
    canvas.doForm("stamp")
    canvas.restoreState()
    canvas.showPage()
    canvas.setFont("Courier", 11)
    canvas.drawString(72, 760, "Second page")
    canvas.showPage()
    canvas.save()

    canvas = reportlab.pdfgen.canvas.Canvas(str(HERE / "scan.pdf"), pagesize=reportlab.lib.pagesizes.A4)
    canvas.rect(72, 72, 300, 500, fill=1)
    canvas.showPage()
    canvas.save()

    canvas = reportlab.pdfgen.canvas.Canvas(str(HERE / "locked.pdf"), encrypt="secret")
    canvas.drawString(72, 760, "Hidden words")
    canvas.save()


write_docx()
write_xlsx()
write_pptx()
write_pdf()
